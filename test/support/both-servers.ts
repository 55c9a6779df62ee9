import { afterAll, beforeAll } from 'vitest';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { MODEL, PROVIDER, startCodex } from './codex.ts';
import { startDaemon } from './daemon.ts';
import type { WhenDone } from './process.ts';
import { startScriptedModel } from './responses-api.ts';
import { RpcClient, type Json } from './rpc-client.ts';
import { tempFolder } from './temp-home.ts';

/** One of the two servers that a test asks the same things. */
export interface Side {
  readonly name: 'codex' | 'skein';
  readonly url: string;
  /** Speaks the experimental protocol. */
  readonly client: RpcClient;
  /** Does not. */
  readonly plain: RpcClient;
  readonly home: string;
  /** What `@name` in parameters stands for: ids of threads and turns, cursors. */
  readonly names: Map<string, string>;
}

export interface BothServers {
  readonly codex: Side;
  readonly skein: Side;
  /** Folder of all threads. */
  readonly cwd: string;
}

/** Words whose answer takes both servers longer than anything that is asked meanwhile. */
export const ENDLESS = `and so on ${'x '.repeat(400_000)}`;
const isEndless = (text: string): boolean => text.startsWith('and so on');

export const UNKNOWN_ID = '11111111-2222-4333-8444-555555555555';

/**
 * The real Codex and Skein, each on a home of its own, for all tests of a file.
 * @param prepare what is done with both before the first test; `asked` is what the model of Codex was asked
 */
export function bothServers(
  prepare: (side: Side, cwd: string, asked: readonly string[]) => Promise<void>,
): () => BothServers {
  let both: BothServers | undefined;
  const cleanUps: (() => void | Promise<void>)[] = [];
  const whenDone: WhenDone = (cleanUp) => void cleanUps.push(cleanUp);
  beforeAll(async () => {
    // Both say the same, and say that it is the same model that does.
    const script = (text: string): string | undefined => (isEndless(text) ? undefined : `${ECHO_MARK} ${text}`);
    const model = await startScriptedModel(script, whenDone);
    const [cwd, codexHome, skeinHome] = ['cwd-', 'codex-', 'skein-'].map((prefix) => tempFolder(prefix, whenDone));
    if (cwd === undefined || codexHome === undefined || skeinHome === undefined) return;
    const [codex, daemon] = await Promise.all([
      startCodex(codexHome, model, { whenDone }),
      startDaemon(skeinHome, ['--set', `model.provider=${PROVIDER}`, '--set', `model.name=${MODEL}`], whenDone),
    ]);
    const side = async (name: Side['name'], url: string, home: string): Promise<Side> => {
      const [client, plain] = [await RpcClient.connect(url), await RpcClient.connect(url, { isExperimental: false })];
      whenDone(async () => void (await Promise.all([client.close(), plain.close()])));
      return { name, url, client, plain, home, names: new Map([['unknown', UNKNOWN_ID]]) };
    };
    both = {
      codex: await side('codex', codex.url, codexHome),
      skein: await side('skein', `unix://${daemon.info.socket}`, skeinHome),
      cwd,
    };
    await Promise.all([prepare(both.codex, cwd, model.asked), prepare(both.skein, cwd, model.asked)]);
  });
  afterAll(async () => {
    for (const cleanUp of cleanUps.toReversed()) await cleanUp();
  });
  return () => {
    if (both === undefined) throw new Error('the servers are not up');
    return both;
  };
}

/** Starts a thread and has turns in it; its id is remembered by a name. */
export async function startNamed(side: Side, name: string, params: object, turns: number): Promise<string> {
  const { thread } = await side.client.call('thread/start', params);
  side.names.set(name, thread.id);
  for (let turn = 1; turn <= turns; turn += 1) await side.client.turn(thread.id, `words ${turn}`);
  return thread.id;
}

/** Something to ask both servers. `@name` in it stands for what each has under that name. */
export interface Question {
  readonly method: string;
  readonly params?: unknown;
  /** `plain`: without the experimental protocol. `new`: on a connection that has not been initialized. */
  readonly on?: 'plain' | 'new';
  /** What of a good answer must be the same, too. Default: nothing. */
  readonly seen?: (result: Json) => unknown;
}

export const ask = (method: string, params?: unknown, options: Omit<Question, 'method' | 'params'> = {}): Question => ({
  method,
  ...(params === undefined ? {} : { params }),
  ...options,
});

/** Where Skein answers otherwise on purpose. */
export interface Exception {
  readonly reason: string;
  readonly fits: (question: Question, codex: string, skein: string) => boolean;
}

/** Questions under way at once. */
const AT_ONCE = 64;

/**
 * Asks both servers the same.
 * @returns where they differ: the same refusal, word by word, or none is the same. An exception that nothing needs is
 * a difference, too: it says something untrue
 */
export async function differences(
  { codex, skein }: BothServers,
  questions: readonly Question[],
  exceptions: readonly Exception[] = [],
): Promise<readonly string[]> {
  const [ofCodex, ofSkein] = await Promise.all([answersOf(codex, questions), answersOf(skein, questions)]);
  const used = new Set<Exception>();
  const found = questions.flatMap((question, index) => {
    const [theirs = '', ours = ''] = [ofCodex[index], ofSkein[index]];
    if (theirs === ours) return [];
    const exception = exceptions.find(({ fits }) => fits(question, theirs, ours));
    if (exception !== undefined) used.add(exception);
    const { method, params, on = '' } = question;
    return exception === undefined
      ? [`${on} ${method} ${JSON.stringify(params)?.slice(0, 300)}\n  codex: ${theirs}\n  skein: ${ours}`]
      : [];
  });
  const unused = exceptions.filter((exception) => !used.has(exception));
  return [...found, ...unused.map(({ reason }) => `not needed: ${reason}`)];
}

async function answersOf(side: Side, questions: readonly Question[]): Promise<readonly string[]> {
  const answers: string[] = [];
  for (let from = 0; from < questions.length; from += AT_ONCE) {
    answers.push(...(await Promise.all(questions.slice(from, from + AT_ONCE).map((one) => answerOf(side, one)))));
  }
  return answers;
}

/** An answer in words that can be compared: ids and paths by name. */
export async function answerOf(side: Side, { method, params, on, seen }: Question): Promise<string> {
  const client =
    on === 'new'
      ? await RpcClient.connect(side.url, { isInitialized: false })
      : on === 'plain'
        ? side.plain
        : side.client;
  try {
    const { result, error } = await client.answer(method, withNames(params, side.names));
    if (error !== undefined) return `${error.code} ${named(error.message, side)}`;
    return seen === undefined ? 'ok' : `ok ${named(JSON.stringify(seen(result)), side)}`;
  } finally {
    if (on === 'new') await client.close();
  }
}

export function withNames(value: unknown, names: ReadonlyMap<string, string>): unknown {
  if (typeof value === 'string') return value.startsWith('@') ? (names.get(value.slice(1)) ?? value) : value;
  if (Array.isArray(value)) return value.map((element) => withNames(element, names));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, withNames(member, names)]));
}

function named(text: string, { names, home }: Side): string {
  let words = text.replaceAll(home, 'HOME').replaceAll(/\d{4}\/\d{2}\/\d{2}\/rollout-[-0-9T]{19}-/g, 'DAY/rollout-');
  // Cursors hold ids: the longest first.
  for (const [name, id] of [...names].toSorted(([, a], [, b]) => b.length - a.length))
    words = words.replaceAll(id, `@${name}`).replaceAll(JSON.stringify(id), `"@${name}"`);
  return (
    words
      // Each knows methods that the other has not.
      .replace(/expected one of `initialize`.*$/, 'expected one of …')
      // Skein says who it is.
      .replace(/(already has an active writer): .*$/, '$1')
  );
}
