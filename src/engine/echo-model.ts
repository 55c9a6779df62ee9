import { newUuid } from '../domain/ids.ts';
import { wordsOf } from '../domain/user-input.ts';
import type { ModelClient, ModelEvent, ModelRequest } from './model-client.ts';
import { NO_TOKENS } from './turn-events.ts';

/** What every answer begins with, so that nobody takes it for one of a model. */
export const ECHO_MARK = '[echo, no model is configured]';

/**
 * The embedded default (D13): says back what the user said, word by word. No key, no network, no understanding.
 */
export class EchoModel implements ModelClient {
  readonly name = 'echo';
  readonly description = 'Says back what it is told; no model is configured.';
  readonly contextWindow = null;

  async *stream(request: ModelRequest): AsyncGenerator<ModelEvent> {
    const words = wordsOf(request.messages.at(-1)?.input ?? []);
    const text = words === '' ? ECHO_MARK : `${ECHO_MARK} ${words}`;
    const itemId = `msg_${newUuid()}`;
    yield { type: 'messageStarted', itemId };
    for (const delta of text.split(/(?<=\s)(?=\S)/)) yield { type: 'messageDelta', itemId, delta };
    yield { type: 'messageCompleted', itemId, text };
    const [inputTokens, outputTokens] = [tokensIn(words), tokensIn(text)];
    yield {
      type: 'completed',
      usage: { ...NO_TOKENS, inputTokens, outputTokens, totalTokens: inputTokens + outputTokens },
    };
  }
}

/** A token is about four characters: good enough for a model that counts nothing. */
const tokensIn = (text: string): number => Math.ceil(text.length / 4);
