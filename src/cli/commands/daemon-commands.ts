import { resolveHome, type DaemonInfo } from '../../domain/daemon-files.ts';
import { isJsonObject, numberMember, objectMember, stringMember } from '../../domain/json.ts';
import type { DebugSnapshot } from '../../protocol/debug.ts';
import { answeringDaemon } from '../answering-daemon.ts';
import type { Command, Invocation } from '../command.ts';
import { DaemonClient } from '../daemon-client.ts';
import { startDaemon, stopDaemon } from '../daemon-process.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { ago, writeJson, writeOut } from '../output.ts';
import { withDebugSocket } from '../with-debug.ts';
import { RUN_OPTIONS } from './run-command.ts';

/** How long a stop may take if nothing else is said: what turns and threads are given by default, and some. */
const DEFAULT_STOP_SECONDS = 90;

const STOP_OPTIONS: Command['options'] = {
  now: { type: 'boolean', help: 'interrupt running turns instead of waiting for them' },
  timeout: {
    type: 'string',
    value: 'SECONDS',
    help: `give up waiting after this long; default: ${DEFAULT_STOP_SECONDS}`,
  },
};

const start: Command = {
  name: 'start',
  summary: 'start the daemon in the background, unless it runs; returns when it answers',
  arguments: [],
  options: RUN_OPTIONS,
  run: async (invocation) => {
    const home = resolveHome(invocation.text('home'));
    const running = await runningDaemon(home);
    if (running !== undefined) return report(invocation, running, 'runs already');
    return report(invocation, await startDaemon(home, runArguments(invocation)), 'started');
  },
};

const stop: Command = {
  name: 'stop',
  summary: 'stop the daemon; waits for running turns and until it is gone',
  arguments: [],
  options: STOP_OPTIONS,
  run: async (invocation) => {
    const home = resolveHome(invocation.text('home'));
    const info = await answeringDaemon(home);
    if (info !== undefined) await stopDaemon(info, invocation.flag('now'), stopTimeoutMs(invocation));
    const wasRunning = info !== undefined;
    if (invocation.flag('json')) writeJson({ wasRunning, pid: info?.pid ?? null });
    else writeOut(wasRunning ? `stopped (pid ${info.pid})\n` : `no daemon runs for ${home}\n`);
    return EXIT.ok;
  },
};

const restart: Command = {
  name: 'restart',
  summary: 'stop the daemon and start it again, the same way unless options say otherwise',
  arguments: [],
  options: { ...RUN_OPTIONS, ...STOP_OPTIONS },
  run: async (invocation) => {
    const home = resolveHome(invocation.text('home'));
    const info = await answeringDaemon(home);
    if (info !== undefined) await stopDaemon(info, invocation.flag('now'), stopTimeoutMs(invocation));
    const asked = runArguments(invocation);
    const args = asked.length > 0 ? asked : withoutHome(info?.args ?? []);
    return report(invocation, await startDaemon(home, args), 'started');
  },
};

const status: Command = {
  name: 'status',
  summary: 'say whether the daemon runs, where, and how it is doing; exit code 3 if it does not run',
  arguments: [],
  options: {},
  run: async (invocation) => {
    const home = resolveHome(invocation.text('home'));
    const info = await runningDaemon(home);
    const isJson = invocation.flag('json');
    if (info === undefined) {
      if (isJson) writeJson({ isRunning: false, home });
      else writeOut(`no daemon runs for ${home}\n`);
      return EXIT.notRunning;
    }
    const snapshot = info.debugSocket === null ? undefined : await snapshotOf(info.debugSocket);
    if (isJson) writeJson({ isRunning: true, ...info, ...(snapshot === undefined ? {} : summaryOf(snapshot)) });
    else writeOut(describe(info, snapshot));
    return EXIT.ok;
  },
};

/** What keeps the daemon running. */
export const daemonCommands: readonly Command[] = [start, stop, restart, status];

/** A daemon that serves. @throws CliError if it takes no client */
async function runningDaemon(home: string): Promise<DaemonInfo | undefined> {
  const client = await DaemonClient.find(home);
  await client?.close();
  return client === undefined ? undefined : answeringDaemon(home);
}

/** The options of this call that are the daemon's. */
function runArguments({ text, texts }: Invocation): readonly string[] {
  const one = (name: string): readonly string[] => {
    const value = text(name);
    return value === undefined ? [] : [`--${name}`, value];
  };
  const many = (name: string): readonly string[] => texts(name).flatMap((value) => [`--${name}`, value]);
  return [...many('listen'), ...one('auth'), ...one('config'), ...many('set')];
}

/** `run` arguments without the home and the format, which the new call has its own of. */
function withoutHome(args: readonly string[]): readonly string[] {
  const home = args.indexOf('--home');
  const rest = home === -1 ? args : args.toSpliced(home, 2);
  return rest.filter((arg) => arg !== '--json' && !arg.startsWith('--home='));
}

const stopTimeoutMs = ({ number }: Invocation): number => (number('timeout', 1) ?? DEFAULT_STOP_SECONDS) * 1_000;

function report({ flag }: Invocation, info: DaemonInfo, what: string): ExitCode {
  if (flag('json')) writeJson({ ...info, wasRunning: what !== 'started' });
  else writeOut(`${what} (pid ${info.pid})\n${addresses(info)}`);
  return EXIT.ok;
}

const addresses = ({ listen, socket }: DaemonInfo): string =>
  [...listen, `unix://${socket}`].map((address) => `  ${address}\n`).join('');

/** Undefined if nobody answers there: that the daemon runs is known without. */
const snapshotOf = (socketPath: string): Promise<DebugSnapshot | undefined> =>
  withDebugSocket(socketPath, (debug) => debug.call('snapshot', {})).catch(() => undefined);

function summaryOf({ daemon, connections, threads, stores }: DebugSnapshot): object {
  return {
    uptimeMs: daemon.uptimeMs,
    rssBytes: daemon.rssBytes,
    connections: connections.length,
    loadedThreads: threads.length,
    runningTurns: threads.filter(({ turn }) => turn !== 'idle').length,
    recoveringThreads: threads.filter(({ persistence }) => persistence === 'recovering').length,
    index: stores[0]?.['index'] ?? null,
  };
}

const MIB = 1024 * 1024;

function describe(info: DaemonInfo, snapshot: DebugSnapshot | undefined): string {
  const lines = [
    `skein ${info.version} runs (pid ${info.pid}) since ${ago(info.startedAtMs, Date.now())} for ${info.home}`,
    `model      ${info.model}${info.model === 'echo' ? ' (says back what it is told)' : ''}`,
    `log        ${info.log}`,
  ];
  if (snapshot !== undefined) {
    const { threads, connections, daemon } = snapshot;
    const running = threads.filter(({ turn }) => turn !== 'idle').length;
    const recovering = threads.filter(({ persistence }) => persistence === 'recovering').length;
    lines.push(
      `threads    ${threads.length} loaded, ${running} running${recovering === 0 ? '' : `, ${recovering} waiting to be saved`}`,
      `clients    ${connections.length}`,
      `memory     ${Math.round(daemon.rssBytes / MIB)} MiB`,
      `index      ${indexLine(snapshot)}`,
    );
  }
  return `${lines.join('\n')}\nlistens on\n${addresses(info)}`;
}

function indexLine({ stores }: DebugSnapshot): string {
  const [store] = stores;
  const index = isJsonObject(store) ? objectMember(store, 'index') : undefined;
  if (index === undefined) return 'unknown';
  const { setAside } = index;
  const state = stringMember(index, 'state') ?? 'unknown';
  const [indexed, pending, unreadable, defects] = ['indexed', 'pending', 'unreadable', 'defects'].map(
    (name) => numberMember(index, name) ?? 0,
  );
  return [
    `${state}: ${indexed} threads`,
    ...(state === 'ready' ? [] : [`${pending} to go`]),
    ...(unreadable === 0 ? [] : [`${unreadable} unreadable files`]),
    ...(defects === 0 ? [] : [`lines that are no records: ${defects} (skein doctor says where)`]),
    ...(typeof setAside === 'string' ? [`rebuilt, the old one was ${setAside}`] : []),
  ].join(', ');
}
