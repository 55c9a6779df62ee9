import type { DaemonInfo } from '../domain/daemon-files.ts';
import { isJsonObject, numberMember, objectMember, stringMember, type JsonObject } from '../domain/json.ts';
import { AUDIT_KINDS, MAX_FINDINGS, type AuditKind, type StoreAudit } from '../domain/store-audit.ts';
import type { DebugSnapshot } from '../protocol/debug.ts';
import { ago } from './output.ts';

/** `warning`: it works, and somebody should know. `problem`: something that was promised does not hold. */
export type HealthStatus = 'ok' | 'warning' | 'problem';

/** One thing that was looked at. Part of what `skein doctor --json` prints. */
export interface HealthCheck {
  readonly name: 'daemon' | 'files' | 'disk' | 'index' | 'threads' | 'rollouts' | 'saving';
  readonly status: HealthStatus;
  readonly summary: string;
  /** One by one. */
  readonly findings: readonly string[];
  /** What to do about it; null if there is nothing to be done. */
  readonly remedy: string | null;
}

/** What was looked at. */
export interface Examined {
  /** Of this command. */
  readonly version: string;
  readonly snapshot: DebugSnapshot;
  readonly audit: StoreAudit;
  /** Files of the daemon that others may open, with their modes. */
  readonly exposed: readonly string[];
  readonly freeBytes: number;
  readonly nowMs: number;
}

const MIB = 1024 * 1024;

/** Below this a few long turns fill a disk. */
const LITTLE_ROOM_BYTES = 256 * MIB;

/** Kinds that are the index's fault. */
const DISAGREEMENTS: readonly AuditKind[] = ['missing', 'stale', 'duplicate'];

const right = (name: HealthCheck['name'], summary: string): HealthCheck => ({
  name,
  status: 'ok',
  summary,
  findings: [],
  remedy: null,
});

/** Says of everything that was looked at how it is. Pure. */
export const healthChecks = (examined: Examined): readonly HealthCheck[] => [
  ofDaemon(examined),
  ofFiles(examined),
  ofDisk(examined),
  ofIndex(examined),
  ofThreads(examined),
  ofRollouts(examined),
  ofSaving(examined),
];

function ofDaemon({ version, snapshot, nowMs }: Examined): HealthCheck {
  const daemon: DaemonInfo = snapshot.daemon;
  const runs = `skein ${daemon.version} runs (pid ${daemon.pid}) for ${ago(daemon.startedAtMs, nowMs)}`;
  if (daemon.version === version) return right('daemon', runs);
  return {
    ...right('daemon', `${runs}, and this command is of skein ${version}`),
    status: 'warning',
    remedy: 'skein restart',
  };
}

function ofFiles({ exposed, snapshot }: Examined): HealthCheck {
  if (exposed.length === 0) return right('files', 'what the daemon keeps is for its owner alone');
  return {
    ...right('files', `${exposed.length} of the daemon's files can be opened by others`),
    status: 'problem',
    findings: exposed,
    remedy: `chmod -R go-rwx ${snapshot.daemon.home}/skein, and restart if the token was among them (delete it first)`,
  };
}

function ofDisk({ freeBytes, snapshot }: Examined): HealthCheck {
  const summary = `${Math.floor(freeBytes / MIB)} MiB free where ${snapshot.daemon.home} is`;
  if (freeBytes >= LITTLE_ROOM_BYTES) return right('disk', summary);
  return { ...right('disk', summary), status: 'warning', remedy: 'make room: on a full disk nothing is accepted' };
}

function ofIndex({ snapshot: { stores } }: Examined): HealthCheck {
  const index = indexOf(stores);
  const count = (name: string): number => numberMember(index, name) ?? 0;
  const state = stringMember(index, 'state') ?? 'unknown';
  const summary = `${state}; files read: ${count('indexed')}, to go: ${count('pending')}`;
  const problem = stringMember(index, 'problem');
  const findings = [
    ...(problem === undefined ? [] : [`files are not read in the background any more: ${problem}`]),
    ...(index['isInMemory'] === true ? ['it cannot be written, lives in memory, and is made anew by each start'] : []),
    ...(index['isWatching'] === false ? ['the system does not tell of changes by others: lists look for them'] : []),
    ...(typeof index['setAside'] === 'string' ? [`it was made anew: the old one was ${index['setAside']}`] : []),
  ];
  if (findings.length === 0) return right('index', summary);
  const isBroken = problem !== undefined;
  return {
    ...right('index', summary),
    status: isBroken ? 'problem' : 'warning',
    findings,
    remedy: isBroken ? 'skein restart' : null,
  };
}

function ofThreads({ audit }: Examined): HealthCheck {
  const counts = [...DISAGREEMENTS, 'pending' as const].map((kind) => `${kind}: ${audit[kind]}`).join(', ');
  const summary = `listed: ${audit.threads}, from files: ${audit.histories}; ${counts}`;
  if (DISAGREEMENTS.every((kind) => audit[kind] === 0)) return right('threads', summary);
  return {
    ...right('threads', summary),
    status: 'problem',
    findings: findingsOf(audit, DISAGREEMENTS),
    remedy:
      'skein stop, delete skein/index.sqlite* in the home, skein start: lists are made anew from the files. Of duplicates, move the one away that is not wanted',
  };
}

function ofRollouts({ audit, snapshot }: Examined): HealthCheck {
  const index = indexOf(snapshot.stores);
  const defects = numberMember(index, 'defects') ?? 0;
  const summary = `files that cannot be read: ${audit.unreadable}, lines that are no records: ${defects}`;
  const found = {
    ...right('rollouts', summary),
    findings: [...findingsOf(audit, ['unreadable']), ...badLinesOf(index, defects)],
    remedy: defects === 0 ? null : ABOUT_BAD_LINES,
  };
  if (audit.unreadable === 0) return found;
  const aboutFiles = 'nothing else depends on files that cannot be read: repair them, or move them away';
  return { ...found, status: 'warning', remedy: [aboutFiles, ...(defects === 0 ? [] : [ABOUT_BAD_LINES])].join('. ') };
}

/** No alarm: what a kill has cut off gets its newline from whoever goes on behind it, and stays a bad line for ever. */
const ABOUT_BAD_LINES =
  'bad lines are passed over, and all others count. A kill or a loss of power may leave one, of what nobody was told is stored. If there are more than that explains, others have damaged the file: compare it with a copy of it';

function badLinesOf(index: JsonObject, defects: number): readonly string[] {
  const { defectsIn } = index;
  const files = Array.isArray(defectsIn) ? defectsIn.filter(isJsonObject) : [];
  const countOf = (file: JsonObject): number => numberMember(file, 'defects') ?? 0;
  const others = defects - files.reduce((sum, file) => sum + countOf(file), 0);
  return [
    ...files.map((file) => `bad lines: ${stringMember(file, 'path') ?? ''}: ${countOf(file)}`),
    ...(others > 0 ? [`bad lines: in other files: ${others}`] : []),
  ];
}

function ofSaving({ snapshot: { threads } }: Examined): HealthCheck {
  const failing = threads.filter(({ failure }) => failure !== null);
  if (failing.length === 0) return right('saving', `loaded threads: ${threads.length}, all saved`);
  return {
    ...right('saving', `${failing.length} of ${threads.length} loaded threads cannot be saved now`),
    status: 'problem',
    findings: failing.map(({ threadId, failure }) => `${threadId}: ${stringMember(failure ?? {}, 'message') ?? ''}`),
    remedy: 'remove the cause: they are saved as soon as it is gone, and nothing acknowledged is lost meanwhile',
  };
}

function findingsOf(audit: StoreAudit, kinds: readonly AuditKind[]): readonly string[] {
  const told = audit.findings
    .filter(({ kind }) => kinds.includes(kind))
    .map(({ kind, place, detail }) => `${kind}: ${place}: ${detail}`);
  const all = AUDIT_KINDS.filter((kind) => kinds.includes(kind)).reduce((sum, kind) => sum + audit[kind], 0);
  return all > told.length ? [...told, `and ${all - told.length} more (at most ${MAX_FINDINGS} are told)`] : told;
}

function indexOf(stores: DebugSnapshot['stores']): JsonObject {
  const [store] = stores;
  return (isJsonObject(store) ? objectMember(store, 'index') : undefined) ?? {};
}
