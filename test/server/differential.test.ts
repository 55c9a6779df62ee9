import { hostname } from 'node:os';
import { expect, it } from 'vitest';
import { MODEL, PROVIDER, startCodex } from '../support/codex.ts';
import { openLocalStore } from '../support/local-store.ts';
import { CompactingSessionModel, ModelGate, scriptOf } from '../support/peer-session.ts';
import { startScriptedModel } from '../support/responses-api.ts';
import type { Json } from '../support/rpc-client.ts';
import { startServer } from '../support/server.ts';
import { SessionComparison, type Exception, type ToldMore } from '../support/session-comparison.ts';
import { play, type Stage, type Transcript } from '../support/session-player.ts';
import { hostExceptions, hostSessions } from '../support/sessions/host.ts';
import { lifecycleSessions } from '../support/sessions/lifecycle.ts';
import { organizationSessions } from '../support/sessions/organization.ts';
import { readingSessions } from '../support/sessions/reading.ts';
import { refusalsSessions } from '../support/sessions/refusals.ts';
import type { Session } from '../support/sessions/session.ts';
import { turnsSessions } from '../support/sessions/turns.ts';
import { tempFolder } from '../support/temp-home.ts';

/** Sessions that are played to the real Codex and to Skein, and what came of them. */

const SESSIONS: readonly Session[] = [
  ...turnsSessions,
  ...lifecycleSessions,
  ...readingSessions,
  ...organizationSessions,
  ...refusalsSessions,
  ...hostSessions,
];

const isCount = (method: string | undefined): boolean => method === 'thread/tokenUsage/updated';

const isQueue = (method: string | undefined): boolean => method === 'thread/queue/changed';

/** The last count of tokens that a client was told says the same. */
const isRepeatedCount: ToldMore['fits'] = ([method, params], before) => {
  const last = before.findLast(([name]) => isCount(name));
  return isCount(method) && JSON.stringify(last?.[1].tokenUsage.total) === JSON.stringify(params.tokenUsage.total);
};

/** What one of them tells, and the other does not. */
const TOLD_MORE: readonly ToldMore[] = [
  {
    reason: 'a deletion that is refused ends nothing; Codex has unloaded the thread by then',
    by: 'first',
    fits: ([method, params], _before, session) =>
      /^(?:a deletion that a fork stands against|a fork with its turns, paginated)$/.test(session) &&
      method === 'thread/status/changed' &&
      params.status.type === 'notLoaded',
  },
  {
    reason: 'it knows models by name, and not the one of the test',
    by: 'first',
    fits: ([method, params]) => method === 'warning' && /^Model metadata for `[-\w]+` not found/.test(params.message),
  },
  {
    reason: 'what it runs commands in is not installed',
    by: 'first',
    fits: ([method, params]) => method === 'configWarning' && /could not find bubblewrap/.test(params.summary),
  },
  {
    reason: 'Skein has no account whose use could be limited',
    by: 'first',
    fits: ([method, params]) => method === 'account/rateLimits/updated' && params.rateLimits.planType === null,
  },
  {
    reason: 'around a compaction it tells again what it has told',
    by: 'first',
    fits: (one, before, session) => session.startsWith('a compaction') && isRepeatedCount(one, before, session),
  },
  {
    reason: 'now and then it says twice that a thread is not loaded',
    by: 'first, at times',
    fits: ([method, params], before) =>
      method === 'thread/status/changed' &&
      params.status.type === 'notLoaded' &&
      before.findLast(([name, told]) => name === method && told.threadId === params.threadId)?.[1].status.type ===
        'notLoaded',
  },
  {
    reason:
      'that a message has left its queue may stand before or behind what comes of it; NOTE-3 compares it in peace',
    by: 'either, at times',
    fits: ([method], _before, session) => isQueue(method) && session.startsWith('a queue'),
  },
  {
    reason: 'when an answer is cut off just as it begins, it may not tell again what it has told',
    by: 'either, at times',
    fits: (one, before, session) =>
      session.startsWith('turns that fail, are steered and interrupted, ') && isRepeatedCount(one, before, session),
  },
  {
    reason: 'of a thread that runs and is put away, it may have no time to tell again what it has told',
    by: 'either, at times',
    fits: (one, before, session) =>
      /^(?:a deletion|an archive) of a running thread, |^a revert of a running turn, /.test(session) &&
      isRepeatedCount(one, before, session),
  },
];

const PLACES: readonly Exception[] = [
  ...hostExceptions,
  {
    reason: 'the path of a thread is that of the rollout that is written; its list goes on naming the first one',
    fits: (at) => at === 'a revert by another client: actor thread/list.data.0.path',
  },
  {
    reason: 'a deletion that is refused ends nothing; Codex has unloaded the thread by then',
    fits: (at) =>
      /^a deletion that a fork stands against: actor thread\/read\.thread\.(?:status\.type|environments|canAcceptDirectInput)$/.test(
        at,
      ),
  },
  {
    reason: 'a refusal of Skein says of which kind it is, and who holds a thread',
    fits: (at, theirs, ours) =>
      at.endsWith('.refused.data')
        ? theirs === undefined && Object.keys(ours).every((member) => member === 'kind' || member === 'holder')
        : at.endsWith('.refused.data.kind') && theirs === undefined,
  },
  {
    reason: 'the same in words',
    fits: (at, theirs, ours) =>
      at.endsWith('.refused.message') && new RegExp(`^${theirs}: pid \\d+ \\(skein\\)$`).test(ours),
  },
  {
    reason: 'whoever starts or forks a thread is its originator; of Codex, whoever came first since it runs',
    fits: (at, theirs, ours) => at.endsWith('.originator') && theirs === 'first' && ROLES.has(ours),
  },
  {
    reason: 'where a thread comes from is said wherever it is shown; Codex leaves it out of lists',
    fits: (at, theirs) => /thread\/list\.data\.\d+\.(?:forkedFromId|threadSource)$/.test(at) && theirs === null,
  },
  {
    reason: 'and forgets it of legacy threads that are stored',
    fits: (at, theirs, ours) => /, legacy: .*\.thread\.threadSource$/.test(at) && theirs === null && ours === 'user',
  },
  {
    reason: 'a thread goes on with what it may do; Codex falls back to its configuration for a workspace',
    fits: (at) =>
      /^a thread that may do what workspace-write is, \w+: actor (?:thread\/fork|thread\/resume|is told thread\/settings\/updated)/.test(
        at,
      ) && /\.(?:activePermissionProfile|(?:sandbox|sandboxPolicy|threadSettings\.sandboxPolicy)\.\w+)$/.test(at),
  },
  {
    reason: 'what a mode tells a model by itself belongs to the model',
    fits: (at, theirs, ours) =>
      /^ways of working together.*\.collaborationMode\.settings\.developer_instructions$/.test(at) &&
      /^# (?:Plan Mode|Collaboration Mode: Default)/.test(theirs) &&
      ours === null,
  },
  {
    reason: 'items of legacy history are numbered through, in a turn that runs too, so that none has the id of another',
    fits: (at, theirs, ours) =>
      at.startsWith(
        'a late follower has all of a turn that runs, legacy: watcher thread/resume.thread.turns.1.items.',
      ) &&
      theirs === 'item-1' &&
      ours === 'item-3',
  },
];

const ROLES: ReadonlySet<Json> = new Set(['actor', 'watcher', 'bystander']);

/**
 * Every error of the protocol (app-server-protocol section 4), with the session in which both servers are brought to
 * say it. Elsewhere: what a thread says that has just begun and is not stored (ERR-1: the peer may store it at any
 * time), two processes on one thread (CONF-3), and broken rollouts (FOREIGN rules).
 */
const ERRORS: readonly (readonly [session: string, message: RegExp])[] = [
  ['a thread that nobody knows', /^invalid thread id: /],
  ['a thread that nobody knows', /^invalid session id: /],
  ['a thread that nobody knows', /^thread not loaded: id 1$/],
  ['a thread that nobody knows', /^no rollout found for thread id id 1$/],
  ['a thread that nobody knows', /^no archived rollout found for thread id id 1$/],
  ['a thread that nobody knows', /^thread not found: id 1$/],
  ['a thread that nobody knows', /^thread\/items\/list is not supported yet$/],
  ['input that is none, legacy', /^Invalid request: missing field `input`$/],
  ['input that is none, legacy', /^Invalid request: invalid type: integer `5`, expected a string$/],
  ['input that is none, legacy', /^Invalid request: unknown variant `bogus`, expected one of /],
  ['input that is none, legacy', /^Input exceeds the maximum length of 1048576 characters\.$/],
  ['input that is none, legacy', /^remote image URLs are not supported/],
  ['an archive and back, legacy', /^session id 1 is archived\. Run `codex unarchive id 1`/],
  ['an archive and back, legacy', /^thread id 1 already has an active writer$/],
  ['a cold resume, legacy', /^thread not found: id 1$/],
  ['nothing is read before a first turn, legacy', /^no active turn to steer$/],
  ['nothing is read before a first turn, legacy', /^no active turn to interrupt$/],
  ['a turn that is steered, legacy', /^expected active turn id `id 3` but found `id 2`$/],
  ['a turn that is interrupted, and one after it, legacy', /^expected active turn id id 3 but found id 2$/],
  ['a turn that is steered, legacy', /^input must not be empty$/],
  ['names, legacy', /^thread name must not be empty$/],
  ['git facts, legacy', /^thread metadata update must include at least one field$/],
  ['git facts, legacy', /^gitInfo must include at least one field$/],
  ['git facts, legacy', /^gitInfo\.branch must not be empty$/],
  ['lists that cannot be', /^invalid cursor: zz$/],
  ['lists that cannot be', /^Invalid request: invalid value: integer `-1`, expected u32$/],
  ['lists that cannot be', /^thread\/search requires a non-empty searchTerm$/],
  ['forks of parts, paginated', /^turn not found: id \d+$/],
  ['forks of parts, legacy', /^`beforeTurnId` cannot be combined with `lastTurnId`$/],
  ['a revert that cannot be', /^thread\/revert only supports paginated threads$/],
  ['a revert that is refused, by another client', /^turn not found: id \d+$/],
  ['a fork with its turns, paginated', /^cannot delete thread id 1: forked history still references it$/],
  ['an ephemeral thread', /^ephemeral threads do not support includeTurns$/],
  ['an ephemeral thread', /^ephemeral threads do not support thread\/turns\/list$/],
  ['an ephemeral thread', /^thread\/items\/list is not supported yet$/],
  ['an ephemeral thread', /^no rollout found for thread id id 1$/],
  ['an ephemeral thread', /^ephemeral thread does not support metadata updates: id 1$/],
  ['an ephemeral thread', /^thread is not persisted and cannot be deleted: id 1$/],
  ['an ephemeral thread', /^ephemeral paginated thread\/fork requires `excludeTurns: true`$/],
  ['a start that cannot be', /^failed to load configuration: Model provider `nope` not found$/],
];

async function codexStage(): Promise<Stage> {
  const gate = new ModelGate();
  const model = await startScriptedModel(scriptOf(gate));
  const home = tempFolder();
  const codex = await startCodex(home, model, { settings: ['thread_unload_delay_secs = 1'] });
  await (await codex.connect({ name: 'first' })).close();
  return {
    connect: (options) => codex.connect(options),
    openGate: (said) => gate.open(said),
    words: [
      [home, 'HOME'],
      [MODEL, 'MODEL'],
      [PROVIDER, 'PROVIDER'],
      ['0.169.0', 'VERSION'],
      [hostname(), 'HOST'],
    ],
  };
}

async function skeinStage(): Promise<Stage> {
  const gate = new ModelGate();
  const home = tempFolder();
  const store = await openLocalStore(home);
  const server = await startServer({ model: new CompactingSessionModel(gate), store, unloadDelayMs: 50 });
  return {
    connect: (options) => server.connect(options),
    openGate: (said) => gate.open(said),
    words: [
      [home, 'HOME'],
      ['hand-model', 'MODEL'],
      ['hand', 'PROVIDER'],
      ['0.0.0', 'VERSION'],
      ['here', 'HOST'],
    ],
  };
}

/** Sessions that are played at once. Whoever waits in one (for Codex to unload a thread: a second) leaves the others be. */
const AT_ONCE = 8;

/** What came of each session, by its name: at Codex, and at Skein. */
async function played(stages: readonly Stage[]): Promise<ReadonlyMap<string, readonly Transcript[]>> {
  const transcripts = new Map<string, readonly Transcript[]>();
  const waiting = SESSIONS.map(([name, session], number) => ({ name, session, scene: { number, cwd: tempFolder() } }));
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { name, session, scene } = next;
      transcripts.set(name, await Promise.all(stages.map((stage) => play(stage, session, scene))));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return transcripts;
}

it('COVER-6 sessions of two and three clients get the same answers and bring the same notifications to each, in the same order, as from Codex', async () => {
  expect(new Set(SESSIONS.map(([name]) => name)).size).toBe(SESSIONS.length);
  expect(SESSIONS.length).toBeGreaterThanOrEqual(60);
  const transcripts = await played(await Promise.all([codexStage(), skeinStage()]));
  const comparison = new SessionComparison({ places: PLACES, told: TOLD_MORE });
  for (const [name, [theirs, ours]] of transcripts) {
    if (theirs !== undefined && ours !== undefined) comparison.compare(name, theirs, ours);
  }
  expect(comparison.found).toEqual([]);
  expect(comparison.unused).toEqual([]);
  // The table of errors says what is so.
  const isSaid = ([session, message]: (typeof ERRORS)[number]): boolean =>
    transcripts.get(session)?.[0]?.answers.some(([, answer]) => message.test(answer?.refused?.message)) === true;
  expect(ERRORS.filter((error) => !isSaid(error))).toEqual([]);
}, 120_000);
