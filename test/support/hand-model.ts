import { wordsOf } from '../../src/domain/user-input.ts';
import type { ModelClient, ModelEvent, ModelRequest } from '../../src/engine/model-client.ts';
import { NO_TOKENS } from '../../src/engine/turn-events.ts';

/** One call of a model, answered by the test. */
export class ModelCall {
  readonly request: ModelRequest;
  readonly #signal: AbortSignal;
  readonly #steps: { readonly event: ModelEvent | Error | null; readonly taken: () => void }[] = [];
  #arrived: () => void = () => {};

  constructor(request: ModelRequest, signal: AbortSignal) {
    this.request = request;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#arrived());
  }

  get isCutOff(): boolean {
    return this.#signal.aborted;
  }

  /** What the user said last. */
  get text(): string {
    return wordsOf(this.request.messages.at(-1)?.input ?? []);
  }

  /** Resolves when the turn has dealt with it. */
  emit(event: ModelEvent): Promise<void> {
    return this.#step(event);
  }

  async message(itemId: string, deltas: readonly string[]): Promise<void> {
    await this.emit({ type: 'messageStarted', itemId });
    for (const delta of deltas) await this.emit({ type: 'messageDelta', itemId, delta });
    await this.emit({ type: 'messageCompleted', itemId, text: deltas.join('') });
  }

  /** Ends the answer, its tokens counted. */
  async end(): Promise<void> {
    await this.emit({ type: 'completed', usage: { ...NO_TOKENS, totalTokens: 15, inputTokens: 10, outputTokens: 5 } });
    void this.#step(null);
  }

  fail(message: string): void {
    void this.#step(new Error(message));
  }

  async *events(): AsyncGenerator<ModelEvent> {
    for (;;) {
      const step = this.#steps.shift();
      if (step === undefined) {
        if (this.isCutOff) return;
        await new Promise<void>((resolve) => (this.#arrived = resolve));
        continue;
      }
      if (step.event instanceof Error) throw step.event;
      if (step.event === null) return;
      try {
        yield step.event;
      } finally {
        step.taken();
      }
    }
  }

  #step(event: ModelEvent | Error | null): Promise<void> {
    return new Promise((resolve) => {
      this.#steps.push({ event, taken: resolve });
      this.#arrived();
    });
  }
}

/** A model that answers as the test says, call by call. */
export class HandModel implements ModelClient {
  readonly name = 'hand';
  readonly description = 'A double.';
  readonly contextWindow = null;
  readonly #calls: ModelCall[] = [];
  readonly #waiting: ((call: ModelCall) => void)[] = [];

  stream(request: ModelRequest, signal: AbortSignal): AsyncIterable<ModelEvent> {
    const call = new ModelCall(request, signal);
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#calls.push(call);
    else waiting(call);
    return call.events();
  }

  /** The next call, whether it came already or comes yet. */
  call(): Promise<ModelCall> {
    const call = this.#calls.shift();
    return call === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(call);
  }
}
