import { createHash } from 'node:crypto';
import { ECHO_MARK } from '../../../src/engine/echo-model.ts';

/** Longer texts are kept as prints. */
const LONGEST_KEPT = 80;

/** Characters of the beginning of a longer text, for whoever reads of it. */
const SHOWN = 40;

/** What stands for a text, however long it is: two texts have the same print only if they are the same. */
export function printOf(text: string): string {
  if (text.length <= LONGEST_KEPT) return text;
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 32);
  return `${text.slice(0, SHOWN).replaceAll('\n', ' ')}… (${text.length} characters, ${digest})`;
}

/** The whole answer to words. */
export const echoOf = (words: string): string => `${ECHO_MARK} ${words}`;

/** A raw item for the model that a client puts into a thread. @param text begins with the name of who does */
export const itemOf = (text: string): object => ({
  type: 'message',
  role: 'user',
  content: [{ type: 'input_text', text }],
});

/** How texts of raw items begin. */
export const ITEM_TEXT = /^\S+ puts in /;

/** A command that says its mark, and counts. @param mark one word */
export const commandOf = (mark: string, count: number): string => `echo ${mark}; seq ${count}`;

/** The whole output of such a command; undefined: it is another one. */
export function outputOf(command: string): string | undefined {
  const [, mark, count] = /^echo (\S+); seq (\d+)$/.exec(command) ?? [];
  if (mark === undefined) return undefined;
  const numbers = Array.from({ length: Number(count) }, (_, at) => at + 1);
  return [mark, ...numbers, ''].join('\n');
}
