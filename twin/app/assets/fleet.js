// A field of many zones: a map of small squares and a list, kept up by what has changed.
(() => {
  "use strict";
  const SHOWN = 60; // cards that are drawn at first; more by a button
  const TICK_MS = 1000;
  const el = (tag, props = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), props);
    made.append(...children);
    return made;
  };
  const dash = "–";
  const percent = (value) => (value === null ? dash : `${value.toFixed(1)} %`);
  const litres = (value) => (value === null ? dash : `${value.toLocaleString("en")} L`);
  const hours = (h) => (h === null ? dash : h < 72 ? `${h} h` : `${Math.round(h / 24)} d`);
  const open = (zone) => zone.alerts.filter((alert) => !alert.who).length;
  // alerts that nobody has acknowledged come first, then the others
  const urgency = (zone) => (open(zone) ? 3 : zone.mood === "alert" && !zone.alerts.length ? 3 : zone.alerts.length ? 2 : zone.mood === "watering" ? 1 : 0);
  const last = (a) => (a === null ? Infinity : a);
  const ORDERS = {
    "alerts first": (a, b) => urgency(b) - urgency(a),
    name: () => 0,
    "driest first": (a, b) => last(a.probe) - last(b.probe),
    "stress soonest": (a, b) => last(a.stress_h) - last(b.stress_h),
    "most water today": (a, b) => (b.today_l ?? -1) - (a.today_l ?? -1),
  };
  const FILTERS = {
    all: () => true,
    alerts: (zone) => zone.mood === "alert",
    "not acknowledged": (zone) => open(zone) > 0,
    watering: (zone) => zone.mood === "watering",
    "differs from twin": (zone) => zone.off,
  };
  const named = (a, b) => a.name.localeCompare(b.name, "en", { numeric: true });

  function fleet(root) {
    const zones = new Map();
    const squares = new Map();
    const cards = new Map();
    let run = "", number = 0, most = SHOWN, waiting = false;

    const search = el("input", { type: "search", id: "fleet-search", autocomplete: "off" });
    const order = el("select", { id: "fleet-order" }, ...Object.keys(ORDERS).map((text) => el("option", { textContent: text })));
    const filter = el("select", { id: "fleet-filter" }, ...Object.keys(FILTERS).map((text) => el("option", { textContent: text })));
    const who = el("input", { type: "text", id: "fleet-who", maxLength: 64, autocomplete: "name", value: localStorage.getItem("levada-name") ?? "" });
    const said = el("p", { className: "hint", id: "fleet-said", role: "status" });
    const map = el("div", { className: "map", id: "fleet-map", role: "img" });
    const list = el("ul", { className: "fleet", id: "fleet-list" });
    const more = el("button", { type: "button", hidden: true });
    const label = (text, input) => el("span", { className: "field" }, el("label", { htmlFor: input.id, textContent: text }), input);
    const tools = [label("Search", search), label("Show", filter), label("Order", order)];
    if (root.dataset.mayChange === "yes") tools.push(label("Your name, to acknowledge", who));
    root.replaceChildren(el("div", { className: "row" }, ...tools), said, map, list, more);

    function matching() {
      const text = search.value.trim().toLowerCase();
      const wanted = FILTERS[filter.value];
      const by = ORDERS[order.value];
      return [...zones.values()]
        .filter((zone) => wanted(zone) && (!text || zone.name.toLowerCase().includes(text)))
        .sort((a, b) => by(a, b) || named(a, b));
    }
    function card(zone) {
      const known = cards.get(zone.name);
      if (known?.zone === zone) return known.node;
      const number = (text, value, look = "") => el("span", {}, el("small", { textContent: text }), el("strong", { textContent: value, className: look }));
      const link = el("a", { href: `/zone/${encodeURIComponent(zone.name)}`, className: "name", textContent: zone.name });
      const node = el("li", { className: `card ${zone.mood}` },
        el("div", { className: "head" }, link, el("span", { className: `state ${zone.mood}`, textContent: zone.state })),
        el("div", { className: "numbers" }, number("Probe", percent(zone.probe), "physical"), number("Twin", percent(zone.twin), "virtual"), number("Today", litres(zone.today_l)), number("Stress in", hours(zone.stress_h))),
        ...zone.alerts.map((alert) => alertLine(zone, alert)));
      node.dataset.zone = zone.name;
      if (known?.node.isConnected) known.node.replaceWith(node);
      cards.set(zone.name, { zone, node });
      return node;
    }
    function alertLine(zone, alert) {
      const line = el("div", { className: alert.who ? "alerts known" : "alerts" }, el("span", { textContent: alert.text }));
      if (alert.who) line.append(el("span", { className: "hint", textContent: ` Acknowledged by ${alert.who}.` }));
      else if (root.dataset.mayChange === "yes") {
        const button = el("button", { type: "button", textContent: "Acknowledge" });
        button.setAttribute("aria-label", `Acknowledge: ${zone.name}, ${alert.text}`);
        button.addEventListener("click", () => acknowledge(zone, alert, button));
        line.append(" ", button);
      }
      return line;
    }
    async function acknowledge(zone, alert, button) {
      const name = who.value.trim();
      if (!name) {
        said.textContent = "Write your name first: it is kept with the alert.";
        return who.focus();
      }
      localStorage.setItem("levada-name", name);
      button.disabled = true;
      const answer = await fetch(`/api/zones/${encodeURIComponent(zone.name)}/acknowledgement`, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ alert: alert.kind, who: name }),
      });
      if (!answer.ok) {
        button.disabled = false;
        said.textContent = (await answer.json()).error;
        return;
      }
      await ask();
    }
    function square(zone) {
      let node = squares.get(zone.name);
      if (!node) {
        node = el("i");
        node.dataset.zone = zone.name;
        squares.set(zone.name, node);
      }
      const look = `square ${zone.mood}${zone.alerts.length && !open(zone) ? " known" : ""}`;
      if (node.className !== look) node.className = look;
      const title = `${zone.name}: ${zone.state}`;
      if (node.title !== title) node.title = title;
      return node;
    }
    function draw() {
      const found = matching();
      const names = new Set(found.map((zone) => zone.name));
      squares.forEach((node, name) => { node.hidden = !names.has(name); });
      const shown = found.slice(0, most).map(card);
      if (shown.length !== list.children.length || shown.some((node, i) => list.children[i] !== node)) {
        const focused = list.contains(document.activeElement) ? document.activeElement : null;
        list.replaceChildren(...shown);
        if (focused?.isConnected) focused.focus({ preventScroll: true });
      }
      const alerts = found.filter((zone) => zone.mood === "alert").length;
      const text = `${found.length.toLocaleString("en")} of ${zones.size.toLocaleString("en")} zones, ${alerts} with alerts`;
      if (said.dataset.count !== text) said.textContent = said.dataset.count = text;
      map.setAttribute("aria-label", `Map of the zones: ${text}`);
      more.hidden = found.length <= most;
      more.textContent = `Show ${Math.min(SHOWN, found.length - most)} more`;
    }
    function soon() {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; draw(); });
    }
    async function ask() {
      const answer = await fetch(`/api/fleet?since=${number}${run && `&run=${run}`}`);
      if (!answer.ok) return;
      const data = await answer.json();
      if (data.run !== run) { zones.clear(); squares.clear(); cards.clear(); }
      const fresh = data.zones.some((zone) => !zones.has(zone.name));
      ({ run, number } = data);
      for (const zone of data.zones) { zones.set(zone.name, zone); square(zone); }
      if (fresh) map.replaceChildren(...[...zones.values()].sort(named).map(square));
      if (data.zones.length) soon();
    }
    search.addEventListener("input", () => { most = SHOWN; soon(); });
    for (const select of [order, filter]) select.addEventListener("change", () => { most = SHOWN; soon(); });
    more.addEventListener("click", () => { most += SHOWN; soon(); });
    // the same links by keyboard are those of the list
    map.addEventListener("click", (event) => {
      const zone = event.target.dataset.zone;
      if (zone !== undefined) location.assign(`/zone/${encodeURIComponent(zone)}`);
    });
    const again = async () => {
      if (!root.isConnected) return;
      if (!document.hidden) await ask().catch(() => {});
      setTimeout(again, TICK_MS);
    };
    again();
  }

  new MutationObserver(() => {
    const root = document.getElementById("fleet");
    if (root && !root.dataset.begun) {
      root.dataset.begun = "yes";
      fleet(root);
    }
  }).observe(document, { subtree: true, childList: true });
})();
