-- When a stream ended: its market was delisted, or has settled. NULL while it goes on.

ALTER TABLE streams ADD COLUMN ended INTEGER;
