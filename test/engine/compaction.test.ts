import { expect, it } from 'vitest';
import { compactedRecord } from '../../src/engine/compaction.ts';
import type { RolloutItem, RolloutLine } from '../../src/domain/rollout-line.ts';

const said = (role: string, text: string): RolloutItem => ({
  type: 'response_item',
  payload: { type: 'message', role, content: [{ type: 'input_text', text }] },
});

async function* historyOf(items: readonly RolloutItem[]): AsyncGenerator<RolloutLine> {
  for (const item of items) yield { timestamp: '', item };
}

/** What a model reads from there on. */
async function readAfter(items: readonly RolloutItem[], summary: string): Promise<readonly string[]> {
  const { payload } = await compactedRecord(historyOf(items), summary);
  const messages = payload['replacement_history'] as readonly { role: string; content: { text: string }[] }[];
  expect(new Set(messages.map(({ role }) => role))).toEqual(new Set(['user']));
  expect(payload['message']).toBe(messages.at(-1)?.content[0]?.text);
  return messages.map(({ content }) => content[0]?.text ?? '');
}

const SUMMARY = /^Summary of the conversation so far.*\nit went well$/;

it('COMPACT-3 a summary follows the user’s own words, and nothing that others said in the user’s name', async () => {
  const read = await readAfter(
    [
      said('developer', 'rules'),
      said('user', '<environment_context>\n</environment_context>'),
      said('user', 'first'),
      said('assistant', 're: first'),
      said('user', '<user_shell_command>\n</user_shell_command>'),
      { type: 'event_msg', payload: { type: 'user_message', message: 'not for models' } },
      said('user', 'second'),
    ],
    'it went well',
  );
  expect(read).toEqual(['first', 'second', expect.stringMatching(SUMMARY)]);
});

it('COMPACT-3 a second summary takes the place of the first, and the words before it stay', async () => {
  const first = await compactedRecord(historyOf([said('user', 'first')]), 'early');
  const read = await readAfter([said('user', 'first'), first, said('user', 'second')], 'it went well');
  expect(read).toEqual(['first', 'second', expect.stringMatching(SUMMARY)]);
});

it('COMPACT-3 of too many words the newest stay', async () => {
  const words = Array.from({ length: 30 }, (_, index) => `${index} ${'é'.repeat(2_000)}`);
  const read = await readAfter(
    words.map((text) => said('user', text)),
    'it went well',
  );
  expect(read.slice(0, -1)).toEqual(words.slice(-19));
});
