/**
 * The index: rows derived from rollouts and `session_index.jsonl`, with byte offsets into them (D7). It may lag,
 * never leads, and is thrown away and rebuilt whenever its version differs. No migration, ever: the files are the truth.
 */
export const INDEX_VERSION = 5;

export const SCHEMA = `
-- One row a rollout file.
CREATE TABLE rollouts (
  id INTEGER PRIMARY KEY,
  rollout_id TEXT NOT NULL UNIQUE,
  thread_id TEXT NOT NULL,
  path TEXT NOT NULL,               -- the plain one; below the home, or absolute outside it
  archived INTEGER NOT NULL,        -- lies in archived_sessions/
  state INTEGER NOT NULL,           -- 0 pending, 1 indexed, 2 unreadable, 3 missing
  name_ms INTEGER NOT NULL,         -- instant in the file name, Unix ms
  inode INTEGER NOT NULL,           -- of the file that is there, plain or compressed
  file_size INTEGER NOT NULL,       -- of the plain text, as last seen; -1: compressed, and not read to its end yet
  mtime_ms INTEGER NOT NULL,        -- as last seen
  compressed_size INTEGER,          -- of the compressed file; null if there is a plain one
  indexed_size INTEGER NOT NULL,    -- bytes that the rows below cover
  mark TEXT,                        -- digest of the last of those bytes
  defects INTEGER NOT NULL,         -- lines that were no records
  torn_bytes INTEGER NOT NULL,      -- bytes behind the last record
  first_user_offset INTEGER,        -- where the first user message stands
  base_rollout_id TEXT,             -- the rollout this one continues, and up to where
  base_end_ordinal INTEGER,
  base_end_offset INTEGER,
  fold TEXT,                        -- HistoryFold after indexed_size
  facts TEXT,                       -- ThreadFacts after indexed_size
  problem TEXT                      -- why it is unreadable
) STRICT;
CREATE INDEX rollouts_path ON rollouts (path);
CREATE INDEX rollouts_thread ON rollouts (thread_id, rollout_id);
CREATE INDEX rollouts_base ON rollouts (base_rollout_id) WHERE base_rollout_id IS NOT NULL;
CREATE INDEX rollouts_pending ON rollouts (name_ms) WHERE state = 0;
CREATE INDEX rollouts_counts ON rollouts (defects, state);
CREATE INDEX rollouts_grown ON rollouts (id)
  WHERE state = 1 AND (file_size > indexed_size + torn_bytes OR file_size < 0);

-- One row a thread that has a readable current rollout: what lists filter and sort by.
CREATE TABLE threads (
  thread_id TEXT PRIMARY KEY,
  rollout INTEGER NOT NULL,
  archived INTEGER NOT NULL,
  shown INTEGER NOT NULL,           -- has a preview
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  recency_ms INTEGER NOT NULL,
  provider TEXT,                    -- null: the default one
  sources INTEGER NOT NULL,         -- bit set of source kinds
  cwd TEXT NOT NULL,
  parent_id TEXT,
  title TEXT NOT NULL               -- name or preview, case-folded
) STRICT, WITHOUT ROWID;
CREATE INDEX threads_created ON threads (archived, shown, created_ms, thread_id);
CREATE INDEX threads_updated ON threads (archived, shown, updated_ms, thread_id);
CREATE INDEX threads_recency ON threads (archived, shown, recency_ms, thread_id);
CREATE INDEX threads_cwd ON threads (archived, shown, cwd);
CREATE INDEX threads_parent ON threads (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX threads_rollout ON threads (rollout);

-- Names from session_index.jsonl: the last of each id.
CREATE TABLE names (
  thread_id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- pos: ordinal of the record in paginated history, byte offset in legacy history.
CREATE TABLE turns (
  rollout INTEGER NOT NULL,
  pos INTEGER NOT NULL,
  start_offset INTEGER NOT NULL,    -- of the record that opens it
  turn_id TEXT NOT NULL,
  root_turn_id TEXT,
  status TEXT NOT NULL,
  end_pos INTEGER,                  -- of the record that closes it
  end_offset INTEGER,               -- behind that record
  started_at INTEGER,
  completed_at INTEGER,
  duration_ms INTEGER,
  error TEXT,
  count_offset INTEGER,             -- of its last count of tokens
  counted TEXT,                     -- CountedTokens there
  PRIMARY KEY (rollout, pos)
) STRICT, WITHOUT ROWID;
CREATE INDEX turns_id ON turns (rollout, turn_id);

CREATE TABLE items (
  rollout INTEGER NOT NULL,
  pos INTEGER NOT NULL,             -- of its first record
  turn_pos INTEGER NOT NULL,
  item_id TEXT NOT NULL,
  role INTEGER NOT NULL,            -- 0 other, 1 user, 2 agent
  offset INTEGER NOT NULL,          -- of the record that holds it
  length INTEGER NOT NULL,
  parts TEXT,                       -- further records: [[offset, length], …]
  started_ms INTEGER,
  completed_ms INTEGER,
  PRIMARY KEY (rollout, pos)
) STRICT, WITHOUT ROWID;
CREATE INDEX items_turn ON items (rollout, turn_pos, pos);
CREATE INDEX items_role ON items (rollout, turn_pos, role, pos) WHERE role <> 0;
CREATE INDEX items_messages ON items (rollout, pos) WHERE role <> 0;
CREATE INDEX items_id ON items (rollout, item_id);

-- Single facts about the index itself.
CREATE TABLE facts (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`;
