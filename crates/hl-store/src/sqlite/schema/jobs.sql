-- What jobs did: a planned run is a row, and its last attempt.

CREATE TABLE job_runs (
    job TEXT NOT NULL, planned INTEGER NOT NULL, attempt INTEGER NOT NULL, token INTEGER NOT NULL,
    started INTEGER NOT NULL, ended INTEGER, outcome TEXT, rows INTEGER NOT NULL DEFAULT 0,
    weight INTEGER NOT NULL DEFAULT 0, error TEXT,
    PRIMARY KEY (job, planned)
) STRICT, WITHOUT ROWID;
