import { invalidRequest } from '../../domain/errors.ts';
import { parseThreadId } from '../../domain/ids.ts';
import { RPC_CODES, RpcError } from '../../protocol/errors.ts';
import {
  threadBackgroundTerminalsList,
  threadBackgroundTerminalsTerminate,
  threadOnly,
  threadShellCommand,
} from '../../protocol/params/thread-params.ts';
import { method, type Method } from '../request.ts';

/** A command that is given no time has as much as in the peer: an hour. */
const DEFAULT_TIMEOUT_MS = 3_600_000;

/** The longest that timers count, about 24 days. */
const MAX_TIMEOUT_MS = 0x7fff_ffff;

const run = method(threadShellCommand, async ({ threadId, command, timeoutMs }, request, { manager }) => {
  const text = command.trim();
  if (text === '') throw invalidRequest('command must not be empty');
  if (typeof timeoutMs === 'number' && timeoutMs < 0) {
    throw new RpcError(RPC_CODES.invalidParams, `thread/shellCommand timeoutMs must be non-negative, got ${timeoutMs}`);
  }
  const thread = manager.get(parseThreadId(threadId));
  const asked = {
    command: text,
    timeoutMs: Math.min(timeoutMs ?? DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS),
    isAllowed: manager.runsCommands,
  };
  await thread.runCommand(asked, () => request.answer({}), request.cause);
});

/** Terminals that a model has left running: models here have none, and commands of users are not among them. */
const list = method(
  threadBackgroundTerminalsList,
  ({ threadId, cursor }, request, { manager }) => {
    manager.get(parseThreadId(threadId));
    if (typeof cursor === 'string') assertNumber(cursor, 'invalid cursor');
    request.answer({ data: [], nextCursor: null });
  },
  'method',
);

const clean = method(
  threadOnly('ThreadBackgroundTerminalsCleanParams'),
  ({ threadId }, request, { manager }) => {
    manager.get(parseThreadId(threadId));
    request.answer({});
  },
  'method',
);

const terminate = method(
  threadBackgroundTerminalsTerminate,
  ({ threadId, processId }, request, { manager }) => {
    manager.get(parseThreadId(threadId));
    assertNumber(processId, 'invalid background terminal process id');
    request.answer({ terminated: false });
  },
  'method',
);

function assertNumber(text: string, what: string): void {
  if (text === '') throw invalidRequest(`${what}: cannot parse integer from empty string`);
  if (!/^[+-]?\d+$/.test(text)) throw invalidRequest(`${what}: invalid digit found in string`);
}

/** Methods about commands in a thread's folder. */
export const shellMethods: Readonly<Record<string, Method>> = {
  'thread/shellCommand': run,
  'thread/backgroundTerminals/list': list,
  'thread/backgroundTerminals/clean': clean,
  'thread/backgroundTerminals/terminate': terminate,
};
