import { describe, expect, it } from 'vitest';
import { newThreadId } from '../../src/domain/ids.ts';
import type { UserInput, UserMessage } from '../../src/domain/user-input.ts';
import type { ClientQuestions } from '../../src/engine/client-questions.ts';
import { ECHO_MARK, EchoModel } from '../../src/engine/echo-model.ts';
import type { ModelEvent } from '../../src/engine/model-client.ts';
import { SETTINGS } from '../support/runtime.ts';

const NOBODY: ClientQuestions = { ask: () => Promise.resolve({ type: 'withdrawn' }) };

async function answerTo(...inputs: readonly (readonly UserInput[])[]): Promise<readonly ModelEvent[]> {
  const messages = inputs.map((input): UserMessage => ({ input, clientId: null }));
  const history = async function* (): AsyncGenerator<never> {};
  const request = { threadId: newThreadId(), turnId: 'turn', settings: SETTINGS, messages, history, clients: NOBODY };
  const events: ModelEvent[] = [];
  for await (const event of new EchoModel().stream(request)) events.push(event);
  return events;
}

const text = (words: string): UserInput => ({ type: 'text', text: words });

const textOf = (events: readonly ModelEvent[]): string =>
  events.map((event) => (event.type === 'messageCompleted' ? event.text : '')).join('');

describe('echo model', () => {
  it('ECHO-1 says back what was said, marked, word by word, and the same every time', async () => {
    const events = await answerTo([text('one  two\nthree')]);
    expect(events.map(({ type }) => type)).toEqual([
      'messageStarted',
      ...Array.from({ length: ECHO_MARK.split(' ').length + 3 }, () => 'messageDelta'),
      'messageCompleted',
      'completed',
    ]);
    expect(textOf(events)).toBe(`${ECHO_MARK} one  two\nthree`);
    expect(events.map((event) => (event.type === 'messageDelta' ? event.delta : '')).join('')).toBe(textOf(events));
    expect(textOf(await answerTo([text('one  two\nthree')]))).toBe(textOf(events));
  });

  it('ECHO-2 reads the words of an input of many parts, and no other part', async () => {
    const events = await answerTo([
      { type: 'image', url: 'data:image/png;base64,AAAA' },
      text('look '),
      { type: 'localImage', path: '/a.png' },
      { type: 'skill', name: 'draw', path: '/skills/draw' },
      { type: 'mention', name: 'file', path: '/b.ts' },
      text('here'),
    ]);
    expect(textOf(events)).toBe(`${ECHO_MARK} look here`);
  });

  it('ECHO-3 answers an input without words with its mark alone', async () => {
    for (const input of [[], [text('')], [{ type: 'image', url: 'data:,' }]] as const) {
      expect(textOf(await answerTo(input))).toBe(ECHO_MARK);
    }
  });

  it('ECHO-4 answers the last message, and counts tokens by length', async () => {
    const events = await answerTo([text('first')], [text('last one')]);
    expect(textOf(events)).toBe(`${ECHO_MARK} last one`);
    const outputTokens = Math.ceil(`${ECHO_MARK} last one`.length / 4);
    expect(events.at(-1)).toMatchObject({
      type: 'completed',
      usage: { inputTokens: 2, outputTokens, totalTokens: 2 + outputTokens },
    });
  });
});
