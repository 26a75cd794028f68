-- Tables of schema version 1, as levada made them in PostgreSQL.
CREATE TABLE nodes (
    id BIGSERIAL NOT NULL,
    name TEXT NOT NULL,
    birth TEXT,
    boot BIGINT,
    online INTEGER NOT NULL,
    first_ms BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (name)
);
CREATE TABLE runs (
    id BIGSERIAL NOT NULL,
    name TEXT NOT NULL,
    mode VARCHAR(16) NOT NULL,
    started_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    guest_sha256 VARCHAR(64) NOT NULL,
    scenario TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE schema_version (
    version SERIAL NOT NULL,
    PRIMARY KEY (version)
);
CREATE TABLE boots (
    node_id BIGINT NOT NULL,
    boot BIGINT NOT NULL,
    contiguous BIGINT NOT NULL,
    highest BIGINT NOT NULL,
    last_ms BIGINT,
    first_received_ms BIGINT NOT NULL,
    PRIMARY KEY (node_id, boot),
    FOREIGN KEY(node_id) REFERENCES nodes (id)
);
CREATE TABLE calibrations (
    id BIGSERIAL NOT NULL,
    request_id VARCHAR(64) NOT NULL,
    node_id BIGINT NOT NULL,
    parameter TEXT NOT NULL,
    time_ms BIGINT NOT NULL,
    who TEXT NOT NULL,
    old_value BIGINT,
    new_value BIGINT NOT NULL,
    expires_ms BIGINT,
    state VARCHAR(16) NOT NULL,
    settled_ms BIGINT,
    read_back BIGINT,
    reason TEXT NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(node_id) REFERENCES nodes (id)
);
CREATE INDEX ix_calibrations_request_id ON calibrations (request_id);
CREATE TABLE events (
    id BIGSERIAL NOT NULL,
    time_ms BIGINT NOT NULL,
    node_id BIGINT,
    kind VARCHAR(64) NOT NULL,
    severity VARCHAR(16) NOT NULL,
    text TEXT NOT NULL,
    evidence TEXT NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(node_id) REFERENCES nodes (id)
);
CREATE INDEX ix_events_time_ms ON events (time_ms);
CREATE TABLE series (
    id BIGSERIAL NOT NULL,
    node_id BIGINT NOT NULL,
    kind VARCHAR(16) NOT NULL,
    name TEXT NOT NULL,
    unit VARCHAR(32) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (node_id, kind, name),
    FOREIGN KEY(node_id) REFERENCES nodes (id)
);
CREATE TABLE telemetry (
    id BIGINT NOT NULL,
    node_id BIGINT NOT NULL,
    boot BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    device_ms BIGINT,
    received_ms BIGINT NOT NULL,
    flags INTEGER NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (node_id, boot, seq),
    FOREIGN KEY(node_id) REFERENCES nodes (id)
);
CREATE INDEX telemetry_time ON telemetry (node_id, time_ms);
CREATE TABLE extremes (
    series_id BIGINT NOT NULL,
    start_ms BIGINT NOT NULL,
    count BIGINT NOT NULL,
    low FLOAT(53) NOT NULL,
    high FLOAT(53) NOT NULL,
    PRIMARY KEY (series_id, start_ms),
    FOREIGN KEY(series_id) REFERENCES series (id)
);
CREATE TABLE points (
    series_id BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    row_id BIGINT NOT NULL,
    value FLOAT(53) NOT NULL,
    PRIMARY KEY (series_id, time_ms, row_id),
    FOREIGN KEY(series_id) REFERENCES series (id)
);
