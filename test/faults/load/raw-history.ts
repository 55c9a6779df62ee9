import { readFileSync } from 'node:fs';
import type { Json } from '../../support/rpc-client.ts';
import { rolloutsOf } from './rollouts.ts';
import { ITEM_TEXT, outputOf, printOf } from './texts.ts';

/** What stands in the history of a thread for models alone, oldest first; texts are as `printOf` has them. */
export interface RawHistory {
  /** Items that clients have put in. */
  readonly items: readonly string[];
  /** Commands that have ended, and whose output is whole. */
  readonly commands: readonly string[];
  /** Commands whose output is another. */
  readonly wrong: readonly string[];
}

/** As a model reads of a command that has ended. */
const COMMAND =
  /^<user_shell_command>\n<command>\n(?<command>.*)\n<\/command>\n<result>\nExit code: (?<exitCode>-?\d+)\nDuration: .* seconds\nOutput:\n(?<output>[^]*)\n<\/result>\n<\/user_shell_command>$/;

/** Reads rollouts as they lie there, without the daemon. @param path the current rollout of the thread */
export function rawHistory(home: string, path: string): RawHistory {
  const items: string[] = [];
  const commands: string[] = [];
  const wrong: string[] = [];
  for (const line of linesOf(readFileSync(path), rolloutsOf(home))) {
    const text = userTextIn(line);
    if (text === undefined) continue;
    if (ITEM_TEXT.test(text)) items.push(printOf(text));
    const { command, exitCode, output } = COMMAND.exec(text)?.groups ?? {};
    if (command === undefined) continue;
    commands.push(command);
    if (exitCode === '0' && output !== outputOf(command))
      wrong.push(`tells models ${printOf(output ?? '')} of ${command}`);
  }
  return { items, commands, wrong };
}

/** Lines of a rollout, behind those that it continues. @param rollouts paths of all that there are */
function linesOf(content: Buffer, rollouts: readonly string[]): readonly string[] {
  const lines = content.toString('utf8').split('\n');
  const base = parsed(lines[0] ?? '')?.payload?.history_base;
  if (base === undefined || base === null) return lines;
  const source = rollouts.find((path) => path.endsWith(`${base.thread_id}.jsonl`));
  if (source === undefined) throw new Error(`the rollout ${base.thread_id} is gone, which another one continues`);
  return [...linesOf(readFileSync(source).subarray(0, base.end_byte_offset), rollouts), ...lines];
}

function userTextIn(line: string): string | undefined {
  if (!line.includes('"response_item"')) return undefined;
  const payload = parsed(line)?.payload;
  return payload?.type === 'message' && payload.role === 'user' ? payload.content[0].text : undefined;
}

/** What was cut off is no record. */
function parsed(line: string): Json {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
