import { expect, it } from 'vitest';
import { connectDebug, type DebugLines } from '../support/debug-lines.ts';
import { startDaemon } from '../support/daemon.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { tempFolder } from '../support/temp-home.ts';

/** As long as it may take on a machine that has much else to do. */
const PATIENCE_MS = 120_000;

const MIB = 1024 * 1024;

const DELTA = 'item/agentMessage/delta';

/** What is said in each turn; the model says it again, word by word. */
const WORDS = 500;
const TEXT = Array.from({ length: WORDS }, (_, index) => `${index}`.padEnd(64, '.')).join(' ');

/** Each makes more than 2,000 notifications in four threads. */
const TURNS = { toCompare: 5, thatFit: 5, thatDoNotFit: 50 };

interface Round {
  /** How long others waited at the 99th percentile, ms. */
  readonly p99: number;
  /** What the daemon took at most. */
  readonly rssBytes: number;
}

/** Turns in several threads, side by side, while others go on with what they do. */
async function round(
  speaker: RpcClient,
  threadIds: readonly string[],
  turns: number,
  others: readonly (() => Promise<unknown>)[],
  debug: DebugLines,
): Promise<Round> {
  const over = new AbortController();
  const [waits, memory]: [number[], number[]] = [[], []];
  const working = others.map(async (work) => {
    while (!over.signal.aborted) {
      const from = performance.now();
      await work();
      waits.push(performance.now() - from);
    }
  });
  const speaking = threadIds.map(async (threadId) => {
    for (let turn = 0; turn < turns; turn += 1) {
      await speaker.turn(threadId, TEXT);
      memory.push((await debug.call('snapshot')).result.daemon.rssBytes);
    }
  });
  await Promise.all(speaking);
  over.abort();
  await Promise.all(working);
  const sorted = waits.toSorted((a, b) => a - b);
  return { p99: sorted[Math.floor(sorted.length * 0.99)] ?? 0, rssBytes: Math.max(...memory) };
}

/** The words of the model that a client got of a thread, in order, up to the notice of a loss. */
function heard(client: RpcClient, threadId: string): { readonly text: string; readonly isWhole: boolean } {
  const ofThread = client.notifications.filter(({ params }) => params.threadId === threadId);
  const loss = ofThread.findIndex(({ method }) => method === 'warning');
  const text = (loss === -1 ? ofThread : ofThread.slice(0, loss))
    .filter(({ method }) => method === DELTA)
    .map(({ params }) => params.delta)
    .join('');
  return { text, isWhole: loss === -1 };
}

it(
  'OUT-14 beside a client that has stopped reading for 100,000 notifications others are served as before',
  async () => {
    const daemon = await startDaemon(tempFolder());
    const [speaker, reader, other, stalled] = [
      await daemon.connect({ optOut: [DELTA] }),
      await daemon.connect(),
      await daemon.connect(),
      await daemon.connect({ name: 'stalled' }),
    ];
    const debug = await connectDebug(daemon.info.debugSocket ?? '');
    const threadIds: string[] = [];
    while (threadIds.length < 4) threadIds.push((await speaker.call('thread/start', {})).thread.id);
    const own = (await other.call('thread/start', {})).thread.id;
    await Promise.all(threadIds.map((threadId) => speaker.turn(threadId, 'hello')));
    const [threadId = ''] = threadIds;
    for (const id of threadIds) await stalled.call('thread/resume', { threadId: id, excludeTurns: true });
    await reader.call('thread/resume', { threadId, excludeTurns: true });
    const others = [
      () => reader.call('thread/turns/list', { threadId, limit: 1, itemsView: 'summary' }),
      () => other.turn(own, 'hi'),
    ];
    const speak = (turns: number): Promise<Round> => round(speaker, threadIds, turns, others, debug);
    const state = async (): Promise<Json> =>
      (await debug.call('snapshot')).result.connections.find(({ client }: Json) => client.name === 'stalled');

    // What fits waits, and comes whole.
    const reading = [await speak(TURNS.toCompare)];
    stalled.socket.pause();
    await speak(TURNS.thatFit);
    expect(await state()).toMatchObject({ droppedMessages: 0 });
    stalled.socket.resume();
    await stalled.call('thread/loaded/list', {});
    await reader.call('thread/loaded/list', {});
    expect(heard(stalled, threadId)).toEqual({ text: heard(reader, threadId).text, isWhole: true });

    // What does not fit costs its bound, and nobody else anything.
    reading.push(await speak(TURNS.toCompare));
    const before = stalled.frames.length;
    const stalledAtMs = Date.now();
    stalled.socket.pause();
    const beside = await speak(TURNS.thatDoNotFit);
    const { queuedBytes, droppedMessages, stalledSinceMs } = await state();
    expect(droppedMessages).toBeGreaterThan(0);
    expect(queuedBytes).toBeGreaterThan(15 * MIB);
    expect(queuedBytes).toBeLessThan(18 * MIB);
    expect(stalledSinceMs).toBeGreaterThanOrEqual(stalledAtMs);
    expect(beside.rssBytes - Math.max(...reading.map(({ rssBytes }) => rssBytes))).toBeLessThan((16 + 112) * MIB);
    expect(beside.p99 / Math.max(...reading.map(({ p99 }) => p99))).toBeLessThan(3);
    const words = (TURNS.toCompare * 2 + TURNS.thatFit + TURNS.thatDoNotFit) * WORDS;
    await reader.call('thread/loaded/list', {});
    const wholeText = heard(reader, threadId).text;
    expect(wholeText.match(/\d+\.+/g)).toHaveLength(words);

    // Reading on, it gets what had waited, learns at its place of what is lost, and can have it all.
    stalled.socket.resume();
    await stalled.call('thread/loaded/list', {});
    expect(stalled.frames.slice(before).filter(({ method }) => method === 'warning').length).toBeGreaterThan(0);
    for (const id of threadIds) {
      const { text, isWhole } = heard(stalled, id);
      expect(isWhole).toBe(false);
      expect(text.length).toBeLessThan(wholeText.length);
      expect(wholeText.startsWith(text)).toBe(true);
      const { thread } = await stalled.call('thread/resume', { threadId: id, excludeTurns: true });
      expect(thread.status).toEqual({ type: 'idle' });
      const page = { threadId: id, limit: 100, sortDirection: 'asc', itemsView: 'full' };
      const { data } = await stalled.call('thread/turns/list', page);
      expect(data.map(({ status }: Json) => status)).toEqual(data.map(() => 'completed'));
      const said = data.flatMap(({ items }: Json) => items).filter(({ type }: Json) => type === 'agentMessage');
      expect(
        said
          .map(({ text: all }: Json) => all)
          .slice(1)
          .join(''),
      ).toBe(wholeText);
    }
    await stalled.turn(threadId, 'still here');
  },
  PATIENCE_MS,
);
