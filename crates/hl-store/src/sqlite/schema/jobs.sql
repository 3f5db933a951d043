-- What jobs did: a planned run is a row, and its last attempt. One that somebody asks for, and nobody has begun, is attempt 0.

CREATE TABLE job_runs (
    job TEXT NOT NULL, planned INTEGER NOT NULL, attempt INTEGER NOT NULL, token INTEGER NOT NULL,
    started INTEGER NOT NULL, ended INTEGER, outcome TEXT, rows INTEGER NOT NULL DEFAULT 0,
    weight INTEGER NOT NULL DEFAULT 0, error TEXT,
    PRIMARY KEY (job, planned)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_runs_asked ON job_runs (planned) WHERE attempt = 0;
