import { pathToFileURL } from 'node:url';
import { messageOf } from '../domain/errors.ts';
import { newUuid } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';
import type { RolloutItem } from '../domain/rollout-line.ts';
import { excerptOf } from './output-excerpt.ts';
import { runShell, shellArgv, shellEnvironment, type ShellResult } from './shell-process.ts';
import { shownItem } from './shown-item.ts';
import type { TurnLog } from './turn-log.ts';
import { completedRecord } from './turn-records.ts';

/** A command that a user runs in a thread's folder: not the model's, so neither sandboxed nor asked about. */
export interface UserCommand {
  /** As the user's shell reads it. */
  readonly command: string;
  /** Ms until it is ended. */
  readonly timeoutMs: number;
  /** False: the daemon is told to run none, and the command says so. */
  readonly isAllowed: boolean;
}

/** Bytes of a command's output that people are shown, and that the history keeps. */
const SHOWN_BYTES = 65_536;

/** Bytes of it that a model reads. */
const READ_BYTES = 10_000;

/**
 * Runs a command as an item of a turn: told when it begins, its output as it comes, recorded and told when it has
 * ended. Ends soon when the signal is aborted. Never rejects.
 * @param cwd absolute
 */
export async function runUserCommand(
  { command, timeoutMs, isAllowed }: UserCommand,
  cwd: string,
  log: TurnLog,
  signal: AbortSignal,
): Promise<void> {
  const { turn, tell, now } = log;
  const { turnId } = turn;
  const itemId = newUuid();
  const startedAtMs = now();
  const argv = shellArgv(command);
  const begun = { type: 'CommandExecution', id: itemId, command: argv, cwd: fileUrl(cwd), ...described(command) };
  tell({
    type: 'itemStarted',
    turnId,
    item: shownItem({ ...begun, status: 'in_progress' }, startedAtMs, null),
    startedAtMs,
  });
  const result = isAllowed
    ? await runShell(
        {
          argv,
          cwd,
          env: shellEnvironment(turn.threadId),
          timeoutMs,
          maxOutputBytes: SHOWN_BYTES,
          onOutput: (delta) => tell({ type: 'commandOutputDelta', turnId, itemId, delta }),
        },
        signal,
      )
    : NOT_ALLOWED;
  const completedAtMs = now();
  const durationMs = completedAtMs - startedAtMs;
  const output = withFailure(result);
  const item = {
    ...begun,
    status: isAllowed ? (result.exitCode === 0 ? 'completed' : 'failed') : 'declined',
    aggregated_output: output,
    exit_code: result.exitCode,
    duration: { secs: Math.floor(durationMs / 1_000), nanos: (durationMs % 1_000) * 1_000_000 },
  };
  const records = [
    // Legacy history has no place for what people are shown of it.
    ...(turn.historyMode === 'legacy' ? [] : [completedRecord(turn, item, startedAtMs, completedAtMs)]),
    readRecord(command, result.exitCode, durationMs, output),
  ];
  const completed = {
    type: 'itemCompleted',
    turnId,
    item: shownItem(item, startedAtMs, completedAtMs),
    completedAtMs,
  } as const;
  try {
    await log.recordAndTell(records, completed);
  } catch (error) {
    tell({ type: 'warning', message: `The output of a command could not be saved: ${messageOf(error)}` });
    tell(completed);
  }
}

const NOT_ALLOWED: ShellResult = {
  exitCode: -1,
  output: '',
  failure: 'not run: this daemon runs no commands of users (threads.shellCommand is false in its configuration)',
};

const described = (command: string): JsonObject => ({
  parsed_cmd: [{ type: 'unknown', cmd: command }],
  source: 'user_shell',
});

const fileUrl = (path: string): string => pathToFileURL(path).href;

function withFailure({ output, failure }: ShellResult): string {
  if (failure === null) return output;
  return output === '' || output.endsWith('\n') ? `${output}${failure}` : `${output}\n${failure}`;
}

/** What a model reads of it; the marks are those by which the peer tells it from what the user said. */
const readRecord = (command: string, exitCode: number, durationMs: number, output: string): RolloutItem => ({
  type: 'response_item',
  payload: {
    type: 'message',
    id: `msg_${newUuid()}`,
    role: 'user',
    content: [
      {
        type: 'input_text',
        text: [
          '<user_shell_command>',
          '<command>',
          command,
          '</command>',
          '<result>',
          `Exit code: ${exitCode}`,
          `Duration: ${(durationMs / 1_000).toFixed(4)} seconds`,
          'Output:',
          excerptOf(output, READ_BYTES),
          '</result>',
          '</user_shell_command>',
        ].join('\n'),
      },
    ],
  },
});
