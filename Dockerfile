# levada in a container: `docker build -t levada .`, then `docker run --rm levada run quickstart`.
# Virtual boards are compiled when they are asked for and need gcc and make, which are not in it.

FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/levada/.venv \
    && /opt/levada/.venv/bin/python -m pip install --no-cache-dir '.[postgres]'

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/levada levada
COPY --from=build /opt/levada /opt/levada
ENV PATH=/opt/levada/.venv/bin:$PATH
USER 10001
WORKDIR /var/lib/levada
ENTRYPOINT ["levada"]
CMD ["--help"]
