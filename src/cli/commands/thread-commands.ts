import {
  arrayMember,
  isJsonObject,
  numberMember,
  objectMember,
  stringMember,
  type JsonObject,
} from '../../domain/json.ts';
import type { Command, Invocation } from '../command.ts';
import { withDaemon, type DaemonClient } from '../daemon-client.ts';
import { EXIT, usageError, type ExitCode } from '../exit-code.ts';
import { ago, oneLine, printable, progress, table, writeJson, writeOut } from '../output.ts';
import { confirmed } from '../confirm.ts';
import { findThread } from '../thread-reference.ts';

const MAX_PAGE = 100;
const DEFAULT_LIMIT = 25;
const DEFAULT_TURNS = 5;

const SORT_KEYS: Readonly<Record<string, string>> = {
  created: 'created_at',
  updated: 'updated_at',
  recency: 'recency_at',
};

const list: Command = {
  name: 'thread list',
  summary: 'list threads, newest first',
  arguments: [],
  options: {
    archived: { type: 'boolean', help: 'archived threads instead of active ones' },
    all: { type: 'boolean', help: 'all pages' },
    limit: { type: 'string', value: 'N', help: `at most so many; default: ${DEFAULT_LIMIT}` },
    cursor: { type: 'string', value: 'CURSOR', help: 'go on where the page before ended' },
    sort: { type: 'string', value: 'created|updated|recency', help: 'default: updated' },
    reverse: { type: 'boolean', help: 'oldest first' },
    cwd: { type: 'string', value: 'DIR', help: 'only threads of this folder' },
    search: { type: 'string', value: 'TEXT', help: 'only threads whose name or beginning contains it' },
    every: { type: 'boolean', help: 'also threads that no person has begun: of sub-agents, of exec' },
  },
  run: async (invocation) => {
    const { flag, text } = invocation;
    const page = await withDaemon(text('home'), (client) => listThreads(client, invocation));
    if (flag('json')) writeJson(page);
    else writeOut(describeList(page, flag('all')));
    return EXIT.ok;
  },
};

async function listThreads(
  client: DaemonClient,
  { flag, text, number }: Invocation,
): Promise<{ readonly data: readonly JsonObject[]; readonly nextCursor: string | null }> {
  const sort = text('sort') ?? 'updated';
  const sortKey = SORT_KEYS[sort];
  if (sortKey === undefined) throw usageError(`--sort takes created, updated or recency, not ${sort}`);
  const wanted = flag('all') ? Number.POSITIVE_INFINITY : (number('limit', 1) ?? DEFAULT_LIMIT);
  const data: JsonObject[] = [];
  let cursor = text('cursor') ?? null;
  do {
    const page = await client.call('thread/list', {
      cursor,
      limit: Math.min(MAX_PAGE, wanted - data.length),
      sortKey,
      sortDirection: flag('reverse') ? 'asc' : 'desc',
      archived: flag('archived'),
      modelProviders: [],
      ...(flag('every') ? { sourceKinds: EVERY_SOURCE } : {}),
      ...(text('cwd') === undefined ? {} : { cwd: text('cwd') }),
      ...(text('search') === undefined ? {} : { searchTerm: text('search') }),
    });
    data.push(...arrayMember(page, 'data').filter(isJsonObject));
    cursor = stringMember(page, 'nextCursor') ?? null;
    if (cursor !== null && data.length < wanted) progress(`${data.length} threads ...`);
  } while (cursor !== null && data.length < wanted);
  return { data, nextCursor: cursor };
}

const EVERY_SOURCE = ['cli', 'vscode', 'exec', 'appServer', 'subAgent', 'unknown'];

function describeList(
  { data, nextCursor }: { readonly data: readonly JsonObject[]; readonly nextCursor: string | null },
  isAll: boolean,
): string {
  if (data.length === 0) return 'no threads\n';
  const now = Date.now();
  const rows = data.map((thread) => [
    stringMember(thread, 'id') ?? '',
    ago((numberMember(thread, 'updatedAt') ?? 0) * 1_000, now),
    statusOf(thread),
    oneLine(stringMember(thread, 'name') ?? stringMember(thread, 'preview') ?? '', 60),
  ]);
  const more = nextCursor === null || isAll ? '' : `more: --all, or --cursor '${nextCursor}'\n`;
  return table(['THREAD', 'UPDATED', 'STATUS', 'NAME'], rows) + more;
}

const statusOf = (thread: JsonObject): string => stringMember(objectMember(thread, 'status') ?? {}, 'type') ?? '';

const show: Command = {
  name: 'thread show',
  summary: 'show a thread and its last turns',
  arguments: [{ name: 'THREAD' }],
  options: { turns: { type: 'string', value: 'N', help: `so many of its last turns; default: ${DEFAULT_TURNS}` } },
  run: async ({ args, flag, text, number }) => {
    const limit = number('turns', 0) ?? DEFAULT_TURNS;
    const { thread, turns } = await withDaemon(text('home'), async (client) => {
      const threadId = await findThread(client, args[0] ?? '');
      const read = await client.call('thread/read', { threadId });
      return { thread: objectMember(read, 'thread') ?? {}, turns: await lastTurns(client, threadId, limit) };
    });
    if (flag('json')) writeJson({ ...thread, turns });
    else writeOut(describeThread(thread) + turns.map(describeTurn).join(''));
    return EXIT.ok;
  },
};

/** The last turns, oldest first; none of a thread that has none yet. */
async function lastTurns(client: DaemonClient, threadId: string, limit: number): Promise<readonly JsonObject[]> {
  const turns: JsonObject[] = [];
  let cursor: string | null = null;
  while (turns.length < limit) {
    const page: JsonObject = await client
      .call('thread/turns/list', {
        threadId,
        cursor,
        limit: Math.min(MAX_PAGE, limit - turns.length),
        itemsView: 'full',
        sortDirection: 'desc',
      })
      .catch((error: unknown) => {
        // Nothing was said in it yet.
        if (error instanceof Error && /not materialized yet|ephemeral/.test(error.message)) return {};
        throw error;
      });
    turns.push(...arrayMember(page, 'data').filter(isJsonObject));
    cursor = stringMember(page, 'nextCursor') ?? null;
    if (cursor === null) break;
  }
  return turns.toReversed();
}

function describeThread(thread: JsonObject): string {
  const at = (name: string): string => new Date((numberMember(thread, name) ?? 0) * 1_000).toISOString();
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['thread', stringMember(thread, 'id')],
    ['name', stringMember(thread, 'name')],
    ['status', statusOf(thread)],
    ['created', at('createdAt')],
    ['updated', at('updatedAt')],
    ['folder', stringMember(thread, 'cwd')],
    ['file', stringMember(thread, 'path')],
    ['history', stringMember(thread, 'historyMode')],
    ['model', `${stringMember(thread, 'modelProvider') ?? ''} ${stringMember(thread, 'model') ?? ''}`.trim()],
    ['forked from', stringMember(thread, 'forkedFromId')],
    ['branch', stringMember(objectMember(thread, 'gitInfo') ?? {}, 'branch')],
  ];
  return facts
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([label, value]) => `${label.padEnd(12)}${oneLine(value ?? '', 400)}\n`)
    .join('');
}

function describeTurn(turn: JsonObject): string {
  const items = arrayMember(turn, 'items').filter(isJsonObject).map(describeItem).join('');
  return `\n-- turn ${stringMember(turn, 'id') ?? ''} (${stringMember(turn, 'status') ?? ''})\n${items}`;
}

function describeItem(item: JsonObject): string {
  const type = stringMember(item, 'type') ?? '';
  if (type === 'agentMessage') return `${printable(stringMember(item, 'text') ?? '')}\n`;
  if (type !== 'userMessage') return `[${type}]\n`;
  const texts = arrayMember(item, 'content')
    .filter(isJsonObject)
    .map((part) => stringMember(part, 'text') ?? `[${stringMember(part, 'type') ?? ''}]`);
  return `> ${printable(texts.join(' ')).replaceAll('\n', '\n> ')}\n`;
}

/** A command that asks one thing of one thread and says that it is done. */
const simple = (
  verb: string,
  summary: string,
  done: string,
  ask: (client: DaemonClient, threadId: string, invocation: Invocation) => Promise<JsonObject>,
  more: Partial<Pick<Command, 'arguments' | 'options' | 'details'>> = {},
): Command => ({
  name: `thread ${verb}`,
  summary,
  options: {},
  ...more,
  arguments: [{ name: 'THREAD' }, ...(more.arguments ?? [])],
  run: (invocation) =>
    withDaemon(invocation.text('home'), async (client): Promise<ExitCode> => {
      const threadId = await findThread(client, invocation.args[0] ?? '');
      const result = await ask(client, threadId, invocation);
      const newId = stringMember(objectMember(result, 'thread') ?? {}, 'id') ?? threadId;
      if (invocation.flag('json')) writeJson({ threadId: newId, ...result });
      else writeOut(`${done} ${newId}\n`);
      return EXIT.ok;
    }),
});

const rename = simple(
  'rename',
  'give a thread a name',
  'renamed',
  (client, threadId, { args }) => client.call('thread/name/set', { threadId, name: args[1] ?? '' }),
  { arguments: [{ name: 'NAME' }] },
);

const archive = simple('archive', 'hide a thread from lists; loses nothing', 'archived', (client, threadId) =>
  client.call('thread/archive', { threadId }),
);

const unarchive = simple('unarchive', 'show an archived thread again', 'unarchived', (client, threadId) =>
  client.call('thread/unarchive', { threadId }),
);

const remove = simple(
  'delete',
  'delete a thread for good',
  'deleted',
  async (client, threadId, { flag }) => {
    if (!flag('yes') && !(await confirmed(`Delete thread ${threadId} for good?`))) {
      throw usageError('nothing was deleted; --yes deletes without asking');
    }
    return client.call('thread/delete', { threadId });
  },
  { options: { yes: { type: 'boolean', short: 'y', help: 'do not ask' } } },
);

const fork = simple(
  'fork',
  'make a thread that goes on from where another one is, or was',
  'forked into',
  (client, threadId, { text }) =>
    client.call('thread/fork', {
      threadId,
      excludeTurns: true,
      ...(text('through-turn') === undefined ? {} : { lastTurnId: text('through-turn') }),
      ...(text('before-turn') === undefined ? {} : { beforeTurnId: text('before-turn') }),
    }),
  {
    options: {
      'through-turn': { type: 'string', value: 'TURN', help: 'the last turn that it keeps' },
      'before-turn': { type: 'string', value: 'TURN', help: 'the first turn that it leaves out' },
    },
  },
);

/** What is done with threads, one at a time. */
export const threadCommands: readonly Command[] = [list, show, rename, archive, unarchive, remove, fork];
