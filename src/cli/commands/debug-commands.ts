import { numberMember } from '../../domain/json.ts';
import type { DebugSnapshot, DebugThread, DebugTransition } from '../../protocol/debug.ts';
import type { Command } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { untilInterrupted } from '../interrupt.ts';
import { ago, oneLine, say, table, writeJson, writeOut } from '../output.ts';
import { resolveThread } from '../thread-reference.ts';
import { withDebug } from '../with-debug.ts';

const snapshot: Command = {
  name: 'debug snapshot',
  summary: 'show connections, loaded threads, queues and stores of the daemon',
  arguments: [],
  options: {},
  run: async ({ flag, text }) => {
    const taken = await withDebug(text('home'), (debug) => debug.call('snapshot', {}));
    if (flag('json')) writeJson(taken);
    else writeOut(describeSnapshot(taken));
    return EXIT.ok;
  },
};

const thread: Command = {
  name: 'debug thread',
  summary: 'show a loaded thread with its last transitions',
  arguments: [{ name: 'THREAD' }],
  options: {},
  run: async ({ args, flag, text }) => {
    const threadId = await resolveThread(text('home'), args[0] ?? '');
    const detail = await withDebug(text('home'), (debug) => debug.call('thread', { threadId }));
    if (flag('json')) writeJson(detail);
    else {
      const { transitions, path, cwd, historyMode } = detail;
      writeOut(threadTable([detail]));
      writeOut(requestTable([detail]));
      writeOut(`path ${path ?? 'none'}\ncwd ${cwd}\nhistory ${historyMode}\n\n`);
      writeOut(transitions.map(describeTransition).join(''));
    }
    return EXIT.ok;
  },
};

const tail: Command = {
  name: 'debug tail',
  summary: 'follow the transitions of a thread, or of all, until Ctrl-C',
  arguments: [{ name: 'THREAD', isOptional: true }],
  options: {},
  run: async ({ args, flag, text }) => {
    const [reference] = args;
    const only = reference === undefined ? {} : { threadId: await resolveThread(text('home'), reference) };
    return withDebug(text('home'), async (debug) => {
      debug.onNotification((method, params) => {
        if (flag('json')) writeJson({ method, params });
        else if (method === 'transition') writeOut(describeTransition(params as unknown as DebugTransition));
        else writeOut(`... ${numberMember(params, 'dropped') ?? 0} transitions were too many\n`);
      });
      await debug.call('tail', only);
      if (!flag('json')) say('following; Ctrl-C ends that');
      return untilInterrupted(debug.closed, () => debug.evicted);
    });
  },
};

/** What looks into the daemon. */
export const debugCommands: readonly Command[] = [snapshot, thread, tail];

function describeSnapshot({ daemon, connections, threads, queues, stores }: DebugSnapshot): string {
  const { p99, max } = daemon.eventLoopDelayMs;
  const rows = connections.map((connection) => {
    const { connectionId, client, transport, pendingRequests, queuedBytes, droppedMessages, watches } = connection;
    return [
      connectionId,
      client === null ? '(not introduced)' : oneLine(`${client.name} ${client.version}`, 30),
      transport,
      String(pendingRequests),
      String(queuedBytes),
      connection.stalledSinceMs === null ? '' : ago(connection.stalledSinceMs, Date.now()),
      String(droppedMessages),
      String(watches.length),
    ];
  });
  return [
    `skein ${daemon.version}, pid ${daemon.pid}, up ${Math.round(daemon.uptimeMs / 1_000)} s, rss ${Math.round(daemon.rssBytes / 2 ** 20)} MiB,` +
      ` event loop delay p99 ${p99.toFixed(1)} ms, most ${max.toFixed(1)} ms\n`,
    `queued: ${queues.outboundBytes} bytes to clients, ${queues.storeBytes} bytes to stores\n\n`,
    table(['CONNECTION', 'CLIENT', 'TRANSPORT', 'PENDING', 'QUEUED', 'STALLED', 'DROPPED', 'WATCHES'], rows),
    '\n',
    threadTable(threads),
    '\n',
    requestTable(threads),
    ...stores.map((store) => `store ${JSON.stringify(store)}\n`),
  ].join('');
}

const threadTable = (threads: readonly DebugThread[]): string =>
  table(
    ['THREAD', 'PERSISTENCE', 'TURN', 'IDLE', 'WATCHERS', 'FAILURE'],
    threads.map(({ threadId, persistence, turn, lastActivityMs, watchers, failure }) => [
      threadId,
      persistence,
      turn,
      ago(lastActivityMs, Date.now()),
      String(watchers.length),
      failure === null ? '' : oneLine(JSON.stringify(failure), 60),
    ]),
  );

/** What clients have been asked; nothing if nothing waits. */
function requestTable(threads: readonly DebugThread[]): string {
  const rows = threads.flatMap(({ threadId, clientRequests }) =>
    clientRequests.map(({ requestId, method, askedAtMs }) => [
      String(requestId),
      threadId,
      method,
      ago(askedAtMs, Date.now()),
    ]),
  );
  return rows.length === 0 ? '' : `${table(['REQUEST', 'THREAD', 'ASKS FOR', 'SINCE'], rows)}\n`;
}

const describeTransition = ({ atMs, threadId, seq, from, to, event, cause }: DebugTransition): string =>
  `${new Date(atMs).toISOString()} ${threadId} #${seq} ${from} -> ${to}  ${event} (${cause})\n`;
