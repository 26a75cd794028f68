"""The quickstart as a notebook: `marimo edit docs/notebooks/quickstart.py`.

It needs marimo and pandas; as a script, `python docs/notebooks/quickstart.py`, it runs all cells.
"""

import marimo

app = marimo.App(app_title="levada: a season of maize")


@app.cell
def _():
    import tempfile
    from pathlib import Path

    import levada
    import marimo as mo
    import plotly.graph_objects as go

    return Path, go, levada, mo, tempfile


@app.cell
def _(mo):
    mo.md("""
    # A season of maize

    One guest, the same `.wasm` bytes that run on an ESP32, irrigates a simulated field near
    Greeley, Colorado, with the weather of 2023. A run leaves a directory of files; we keep it in a
    folder of its own.
    """)


@app.cell
def _(Path, levada, tempfile):
    folder = Path(tempfile.mkdtemp(prefix="levada-notebook-"))
    season = levada.run("quickstart", folder / "season", report=False)
    return folder, season


@app.cell
def _(mo, season):
    mo.md(f"""
    The guest irrigated **{season.summary["irrigation_mm"]:.1f} mm** in
    {season.summary["valve_openings"]} openings of the valve, and
    {"every expectation passed" if season.passed else "an expectation failed"}.
    """)


@app.cell
def _(go, season):
    trace = season.trace.to_pandas().set_index("time")
    daily = trace[["rain_mm", "irrigation_mm"]].resample("1D").sum()
    soil = 100.0 * trace["theta_root"].resample("1h").mean()

    chart = go.Figure()
    chart.add_bar(x=daily.index, y=daily["rain_mm"], name="rain [mm a day]")
    chart.add_bar(x=daily.index, y=daily["irrigation_mm"], name="irrigation [mm a day]")
    chart.add_scatter(x=soil.index, y=soil, name="root zone [% of volume]", yaxis="y2")
    chart.update_layout(
        yaxis={"title": "mm a day"},
        yaxis2={"title": "% of volume", "overlaying": "y", "side": "right"},
        legend={"orientation": "h"},
    )
    chart
    return (daily,)


@app.cell
def _(mo):
    mo.md("""
    ## What would a drier threshold save?

    The guest opens the valve below `on_pct` of the available water. The same season again, with a
    threshold of 45 % instead of the scenario's:
    """)


@app.cell
def _(folder, levada, season):
    drier = levada.run(
        "quickstart",
        folder / "drier",
        overrides={"zone.0.parameters.on_pct": 45},
        report=False,
    )
    saved_mm = season.summary["irrigation_mm"] - drier.summary["irrigation_mm"]
    return drier, saved_mm


@app.cell
def _(drier, mo, saved_mm, season):
    mo.md(f"""
    It saves {saved_mm:.1f} mm, and the crop is short of water on
    {drier.summary["dry_stress_days"]:.0f} days instead of
    {season.summary["dry_stress_days"]:.0f}.

    The last host calls of the guest, as its tape has them:
    """)


@app.cell
def _(season):
    calls = list(season.tape())[-8:]
    [f"{record.call.name.lower()} {record.values}" for record in calls]
    return (calls,)


if __name__ == "__main__":
    app.run()
