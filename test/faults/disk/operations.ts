import { readFileSync } from 'node:fs';
import type { Json, RpcClient } from '../../support/rpc-client.ts';
import type { Owner } from '../load/owner.ts';
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

const named = (sections: readonly Json[], mark: string): number => sections.filter(({ name }) => name === mark).length;

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
    count: async (client, _, __, mark) => named((await client.call('threadSection/list', { limit: 100 })).data, mark),
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
