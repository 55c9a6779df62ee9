import { readFileSync } from 'node:fs';
import type { Json, RpcClient } from '../../support/rpc-client.ts';
import type { Owner } from '../load/owner.ts';
import { polling } from '../polling.ts';
import { rolloutsOf } from '../load/rollouts.ts';

/** Who does an operation. */
export interface Actor {
  readonly owner: Owner;
  readonly client: RpcClient;
  /** Text that nothing else has. */
  readonly mark: string;
}

/** What is asked of a daemon while its disk fails. */
export interface Operation {
  readonly name: string;
  readonly historyMode: 'legacy' | 'paginated';
  /** Makes what it works on. @returns its id; empty if it makes its own */
  readonly prepare: (actor: Actor) => Promise<string>;
  /** @throws RpcRefusal; owners tell of refusals otherwise */
  readonly act: (actor: Actor, threadId: string) => Promise<unknown>;
  /** It says more than its owner writes down. */
  readonly isBeyondLedger?: boolean;
  /** How often what it did with this mark is there: once, if it was acknowledged. Owners keep a book of theirs. */
  readonly count?: ((client: RpcClient, home: string, threadId: string, mark: string) => Promise<number>) | undefined;
}

const begun = ({ owner }: Actor): Promise<string> => owner.start();

async function reverted({ owner }: Actor): Promise<string> {
  const threadId = await owner.start();
  await owner.perform('turn', threadId);
  await owner.perform('revert', threadId);
  return threadId;
}

async function archived(actor: Actor): Promise<string> {
  const threadId = await actor.owner.start();
  await actor.owner.perform('archive', threadId);
  return threadId;
}

const inRollouts: Operation['count'] = async (_, home, __, mark) =>
  rolloutsOf(home)
    .flatMap((path) => readFileSync(path, 'utf8').split('\n'))
    .filter((line) => line.includes(`"${mark}"`)).length;

const injected = (mark: string): Json => ({
  type: 'message',
  role: 'user',
  content: [{ type: 'input_text', text: mark }],
});

async function sectionsOf(client: RpcClient): Promise<readonly Json[]> {
  const sections: Json[] = [];
  for (let cursor: string | null = null; ;) {
    const { data, nextCursor } = await client.call('threadSection/list', { cursor, limit: 100 });
    sections.push(...data);
    if (nextCursor === null) return sections;
    cursor = nextCursor;
  }
}

const sectionNamed = async (client: RpcClient, ...names: readonly string[]): Promise<Json> =>
  (await sectionsOf(client)).find(({ name }) => names.includes(name));

/** A thread, and a section of that name. */
async function sectioned(actor: Actor): Promise<string> {
  const threadId = await actor.owner.start();
  await actor.client.call('threadSection/create', { name: threadId });
  return threadId;
}

/** A thread whose queue stands still. */
async function paused({ owner }: Actor): Promise<string> {
  const threadId = await owner.start();
  await owner.perform('pause', threadId);
  return threadId;
}

/** How many messages wait then. */
const PAUSED_MESSAGES = 3;

const ON_QUEUE = { historyMode: 'paginated', prepare: paused, isBeyondLedger: true } as const;

const queueOf = async (client: RpcClient, threadId: string): Promise<readonly Json[]> =>
  (await client.call('thread/queue/list', { threadId })).data;

const newestFirst = (queue: readonly Json[]): readonly string[] =>
  queue
    .map(({ id }) => id as string)
    .toSorted()
    .toReversed();

/** The number of what was done: each has one more than the one before. */
const numberOf = (mark: string): number => Number(mark.replace(/\D/g, ''));

const inBothModes = (
  name: string,
  prepare: Operation['prepare'],
  act: Operation['act'],
  count?: Operation['count'],
): readonly Operation[] =>
  (['paginated', 'legacy'] as const).map((historyMode) => ({
    name: `${name} (${historyMode})`,
    historyMode,
    prepare,
    act,
    count,
  }));

const perform =
  (habit: Parameters<Owner['perform']>[0]): Operation['act'] =>
  ({ owner }, threadId) =>
    owner.perform(habit, threadId);

export const OPERATIONS: readonly Operation[] = [
  ...inBothModes('first turn', async () => '', begun),
  ...inBothModes('turn with a steer', begun, perform('turn')),
  ...inBothModes('rename', begun, perform('rename')),
  ...inBothModes('fork', begun, perform('fork')),
  ...inBothModes('archive', begun, perform('archive')),
  ...inBothModes('unarchive', archived, perform('unarchive')),
  ...inBothModes('delete', begun, perform('remove')),
  { name: 'revert', historyMode: 'paginated', prepare: reverted, act: perform('revert') },
  { name: 'archive of two rollouts', historyMode: 'paginated', prepare: reverted, act: perform('archive') },
  ...inBothModes(
    'injected items',
    begun,
    ({ client, mark }, threadId) => client.call('thread/inject_items', { threadId, items: [injected(mark)] }),
    inRollouts,
  ),
  ...inBothModes(
    'settings',
    begun,
    ({ client, mark }, threadId) => client.call('thread/settings/update', { threadId, model: mark }),
    async (client, _, threadId, mark) => {
      const { model } = await client.call('thread/resume', { threadId, excludeTurns: true });
      return model === mark ? 1 : 0;
    },
  ),
  {
    name: 'section',
    historyMode: 'paginated',
    prepare: async () => '',
    act: ({ client, mark }) => client.call('threadSection/create', { name: mark }),
    count: async (client, _, __, mark) => (await sectionsOf(client)).filter(({ name }) => name === mark).length,
  },
  {
    name: 'section that is renamed',
    historyMode: 'paginated',
    prepare: sectioned,
    act: async ({ client, mark }, threadId) => {
      // By now it may have the new name.
      const section = await sectionNamed(client, threadId, mark);
      await client.call('threadSection/update', { sectionId: section?.id, name: mark });
    },
    count: async (client, _, __, mark) => (await sectionsOf(client)).filter(({ name }) => name === mark).length,
  },
  {
    name: 'section that is removed',
    historyMode: 'paginated',
    prepare: sectioned,
    act: async ({ client }, threadId) => {
      const section = await sectionNamed(client, threadId);
      if (section !== undefined) await client.call('threadSection/delete', { sectionId: section.id });
    },
    count: async (client, _, threadId) => ((await sectionNamed(client, threadId)) === undefined ? 1 : 0),
  },
  {
    name: 'move into a section',
    historyMode: 'legacy',
    isBeyondLedger: true,
    prepare: sectioned,
    act: async ({ client }, threadId) => {
      const section = await sectionNamed(client, threadId);
      await client.call('thread/section/move', { threadId, sectionId: section?.id });
    },
    count: async (client, _, threadId) => {
      const { thread } = await client.call('thread/read', { threadId });
      return thread.section?.name === threadId ? 1 : 0;
    },
  },
  ...inBothModes(
    'git facts',
    begun,
    ({ client, mark }, threadId) => client.call('thread/metadata/update', { threadId, gitInfo: { branch: mark } }),
    async (client, _, threadId, mark) => {
      const { thread } = await client.call('thread/read', { threadId });
      return thread.gitInfo?.branch === mark ? 1 : 0;
    },
  ),
  {
    name: 'model for threads to come',
    historyMode: 'paginated',
    prepare: async () => '',
    act: ({ client, mark }) =>
      client.call('config/value/write', { keyPath: 'model', value: mark, mergeStrategy: 'replace' }),
    // A later one may have taken its place.
    count: async (client, _, __, mark) => {
      const { config } = await client.call('config/read', {});
      return numberOf(config.model) >= numberOf(mark) ? 1 : 0;
    },
  },
  {
    // A legacy history has what it said for the model alone.
    name: 'command of the user',
    historyMode: 'paginated',
    isBeyondLedger: true,
    prepare: begun,
    act: async ({ client, mark }, threadId) => {
      await client.call('thread/shellCommand', { threadId, command: `echo ${mark}` });
      await polling(async () => {
        const { thread } = await client.call('thread/read', { threadId });
        return thread.status.type === 'idle' ? undefined : 'the command goes on';
      });
    },
    count: async (client, _, threadId, mark) => {
      const { thread } = await client.call('thread/read', { threadId, includeTurns: true });
      return thread.turns
        .flatMap(({ items }: Json) => items)
        .filter(({ type, command }: Json) => type === 'commandExecution' && command.includes(mark)).length;
    },
  },
  {
    ...ON_QUEUE,
    name: 'queued message that is reworded',
    act: async ({ client, mark }, threadId) => {
      const queuedSubmissionId = (await queueOf(client, threadId))[1]?.id;
      await client.call('thread/queue/update', { threadId, queuedSubmissionId, input: [{ type: 'text', text: mark }] });
    },
    count: async (client, _, threadId, mark) =>
      (await queueOf(client, threadId)).filter(({ input }) => input[0].text === mark).length,
  },
  {
    ...ON_QUEUE,
    name: 'queued message that is withdrawn',
    act: async ({ client }, threadId) => {
      const queue = await queueOf(client, threadId);
      // By now it may be.
      if (queue.length === PAUSED_MESSAGES)
        await client.call('thread/queue/delete', { threadId, queuedSubmissionId: queue[1]?.id });
    },
    count: async (client, _, threadId) => PAUSED_MESSAGES - (await queueOf(client, threadId)).length,
  },
  {
    ...ON_QUEUE,
    name: 'queue that is put in another order',
    act: async ({ client }, threadId) => {
      const queuedSubmissionIds = newestFirst(await queueOf(client, threadId));
      await client.call('thread/queue/reorder', { threadId, queuedSubmissionIds });
    },
    count: async (client, _, threadId) => {
      const queue = await queueOf(client, threadId);
      return newestFirst(queue).join() === queue.map(({ id }) => id).join() ? 1 : 0;
    },
  },
  {
    name: 'queued message',
    historyMode: 'paginated',
    isBeyondLedger: true,
    prepare: begun,
    act: ({ client, mark }, threadId) =>
      client.call('thread/queue/add', {
        threadId,
        clientUserMessageId: mark,
        input: [{ type: 'text', text: mark, text_elements: [] }],
      }),
    // It may wait, or have become a turn.
    count: async (client, _, threadId, mark) => {
      const { data } = await client.call('thread/queue/list', { threadId });
      const waiting = data.filter((one: Json) => one.clientUserMessageId === mark).length;
      const { thread } = await client.call('thread/read', { threadId, includeTurns: true });
      const said = thread.turns
        .flatMap(({ items }: Json) => items)
        .filter(({ type, clientId }: Json) => type === 'userMessage' && clientId === mark).length;
      return waiting + said;
    },
  },
  {
    name: 'mark of what was read',
    historyMode: 'paginated',
    prepare: begun,
    act: async ({ client }, threadId) => {
      const { readState } = await client.call('thread/read', { threadId });
      const operation = { type: 'unread' };
      await client.call('thread/readState/update', { threadId, operation, expectedRevision: readState.revision });
    },
    count: async (client, _, threadId) => {
      const { readState } = await client.call('thread/read', { threadId });
      return readState.firstUnread === null ? 0 : 1;
    },
  },
];
