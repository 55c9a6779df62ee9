import { isDeepStrictEqual } from 'node:util';
import { withDebugSocket } from '../../../src/cli/with-debug.ts';
import { messageOf } from '../../../src/domain/errors.ts';
import type { RpcClient } from '../../support/rpc-client.ts';
import type { Listeners, WeighedDaemon, Weight } from '../../support/weighed-daemon.ts';
import { PATIENCE_MS, polling } from '../polling.ts';

/** What a daemon is held against after it has had much to do: itself, before. */

/** Of the daemon's heap afterwards to before, where nothing is kept. */
const MOST_GROWTH = 1.3;

export const MIB = 1024 * 1024;

/** Buffers outside the heap afterwards: less than one long message that is not let go of. */
const MOST_EXTERNAL_BYTES = MIB;

/** Pages that the allocator keeps: what clients may make the daemon hold at once (CONN-18), and as much again. */
const MOST_KEPT_BYTES = 2 * 256 * MIB;

/** Of the resident memory, from what the rounds before have left: one longest message, as it has come and as a text. */
const MOST_NEWLY_KEPT_BYTES = 2 * 64 * MIB;

/** What a daemon takes, and who hears what in it. */
export interface AtRest extends Weight {
  readonly listeners: Listeners;
}

/**
 * What the daemon takes when nobody is connected but one, and no thread is loaded.
 * @param before if given, it has some time to come back to it: what a socket held goes with a later collection than the socket
 */
export async function weighAtRest(daemon: WeighedDaemon, keeper: RpcClient, before?: AtRest): Promise<AtRest> {
  await polling(async () => {
    const { data } = await keeper.call('thread/loaded/list', {});
    return data.length === 0 ? undefined : `${data.length} threads stay loaded`;
  }).catch(async (error: unknown) => {
    throw new Error(`${messageOf(error)}; one of them: ${await oneThread(daemon)}`, { cause: error });
  });
  // Finding all listeners makes V8 give back pages that it keeps at hand: without it 10,000 connections that broke off leave 36 MiB
  // more resident, and 10,000 others 3 more; with it both leave 10, and so do 40,000. It is no leak, and malloc has 3 of them.
  await daemon.listeners();
  let atRest = await weighSteady(daemon);
  if (before === undefined) return atRest;
  const deadline = Date.now() + PATIENCE_MS;
  while (differences(before, atRest).length > 0 && Date.now() < deadline) atRest = await weighSteady(daemon);
  return atRest;
}

/** A loaded thread as the debug socket shows it, with what it has gone through lately. */
const oneThread = ({ info }: WeighedDaemon): Promise<string> =>
  withDebugSocket(info.debugSocket ?? '', async (debug) => {
    const { threads } = await debug.call('snapshot', {});
    const [thread] = threads;
    return thread === undefined
      ? 'none any more'
      : JSON.stringify(await debug.call('thread', { threadId: thread.threadId }));
  });

/** Once nothing comes and goes. */
async function weighSteady(daemon: WeighedDaemon): Promise<AtRest> {
  let weight = await daemon.weigh();
  // Connections that were cut off are noticed a moment later.
  for (let again = 0; again < 20; again += 1) {
    const next = await daemon.weigh();
    const isSteady = next.descriptors === weight.descriptors && next.rssBytes >= weight.rssBytes;
    weight = next;
    if (isSteady && again > 3) break;
  }
  let listeners = await daemon.listeners();
  await polling(async () => {
    const before = listeners;
    listeners = await daemon.listeners();
    return isDeepStrictEqual(listeners, before) ? undefined : 'listeners come and go';
  });
  return { ...weight, listeners };
}

/** What has not come back to what it was. */
export function differences(before: AtRest, after: AtRest): readonly string[] {
  const wrong: string[] = [];
  if (after.descriptors > before.descriptors)
    wrong.push(`${before.descriptors} descriptors have become ${after.descriptors}`);
  for (const [kind, count] of Object.entries(after.activeResources)) {
    const was = before.activeResources[kind] ?? 0;
    if (count > was) wrong.push(`${was} of ${kind} have become ${count}`);
  }
  for (const [kind, count] of Object.entries(after.listeners)) {
    const was = before.listeners[kind] ?? 0;
    if (count > was) wrong.push(`${was} listeners to ${kind} have become ${count}`);
  }
  if (after.heapUsedBytes > before.heapUsedBytes * MOST_GROWTH) {
    wrong.push(`the heap has grown from ${before.heapUsedBytes} to ${after.heapUsedBytes} bytes`);
  }
  if (after.externalBytes > before.externalBytes + MOST_EXTERNAL_BYTES) {
    wrong.push(`buffers outside the heap have grown from ${before.externalBytes} to ${after.externalBytes} bytes`);
  }
  if (after.rssBytes > before.rssBytes + MOST_KEPT_BYTES) {
    wrong.push(`the resident memory has grown from ${before.rssBytes} to ${after.rssBytes} bytes`);
  }
  return wrong;
}

/** Each round does the same, so the last one finds room in what those before have left. */
export function growth(weights: readonly Weight[]): readonly string[] {
  const resident = weights.map(({ rssBytes }) => rssBytes);
  const most = Math.max(...resident.slice(0, -1));
  const last = resident.at(-1) ?? 0;
  if (last <= most + MOST_NEWLY_KEPT_BYTES) return [];
  return [
    `the resident memory grows with each round: ${resident.map((bytes) => Math.round(bytes / MIB)).join(', ')} MiB`,
  ];
}

/** For whoever waits. */
export const weighed = (weight: Weight | undefined): string =>
  Object.entries({ heap: weight?.heapUsedBytes, external: weight?.externalBytes, RSS: weight?.rssBytes })
    .map(([name, bytes]) => `${name} ${Math.round((bytes ?? 0) / MIB)} MiB`)
    .join(', ');
