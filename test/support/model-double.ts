import type { ModelClient, ModelEvent, ModelRequest } from '../../src/engine/model-client.ts';
import { wordsOf } from '../../src/domain/user-input.ts';
import { NO_TOKENS, type TokenUsage } from '../../src/engine/turn-events.ts';

/** Tokens of one call, as models count them. */
export const usage = (inputTokens: number, outputTokens: number): TokenUsage => ({
  ...NO_TOKENS,
  inputTokens,
  outputTokens,
  totalTokens: inputTokens + outputTokens,
});

/** What a model streams that answers with one message. */
export const saying = (itemId: string, ...words: readonly string[]): readonly ModelEvent[] => [
  { type: 'messageStarted', itemId },
  ...words.map((delta) => ({ type: 'messageDelta', itemId, delta }) as const),
  { type: 'messageCompleted', itemId, text: words.join('') },
];

export const completed = (tokens: TokenUsage = NO_TOKENS): ModelEvent => ({ type: 'completed', usage: tokens });

/** One call of the model, answered by the test: what it sends is streamed in order. */
export class ModelCall {
  readonly request: ModelRequest;
  readonly signal: AbortSignal;
  /** What the user had said when the model was called. */
  readonly said: readonly string[];
  #queue: (ModelEvent | 'end' | Error)[] = [];
  #wake: () => void = () => {};

  constructor(request: ModelRequest, signal: AbortSignal) {
    this.request = request;
    this.signal = signal;
    this.said = request.messages.map(({ input }) => wordsOf(input));
  }

  send(...events: readonly ModelEvent[]): this {
    this.#queue.push(...events);
    this.#wake();
    return this;
  }

  /** Answers with one message and ends. */
  answer(text: string, tokens?: TokenUsage): void {
    this.send(...saying(`msg_${text}`, text), completed(tokens)).end();
  }

  end(): void {
    this.#queue.push('end');
    this.#wake();
  }

  fail(message: string): void {
    this.#queue.push(new Error(message));
    this.#wake();
  }

  async *stream(): AsyncGenerator<ModelEvent> {
    for (;;) {
      const next = this.#queue.shift();
      if (next === 'end') return;
      if (next instanceof Error) throw next;
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** A model whose calls wait for the test to answer them. It never looks at its signal: the worst kind of model. */
export class ModelDouble implements ModelClient {
  readonly name = 'double';
  readonly description = 'A double.';
  readonly contextWindow = 1_000;
  readonly #calls: ModelCall[] = [];
  readonly #waiting: ((call: ModelCall) => void)[] = [];

  stream(request: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent> {
    const call = new ModelCall(request, signal);
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#calls.push(call);
    else waiting(call);
    return call.stream();
  }

  /** The next call that no one has taken yet, once it comes. */
  call(): Promise<ModelCall> {
    const call = this.#calls.shift();
    return call === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(call);
  }
}
