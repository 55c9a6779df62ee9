import { EchoModel } from '../../src/engine/echo-model.ts';
import type { ModelClient, ModelEvent, ModelRequest } from '../../src/engine/model-client.ts';
import { wordsOf } from '../../src/domain/user-input.ts';
import { HandModel, type ModelCall } from './hand-model.ts';

/** Echoes, but where a test wants to answer itself. Clients ask the model things that no person has said, such as titles. */
export class PartlyByHand implements ModelClient {
  readonly name = 'hand';
  readonly description = 'A double.';
  readonly contextWindow = null;
  readonly #echo = new EchoModel();
  readonly #hand = new HandModel();
  readonly #isByHand: (words: string) => boolean;

  /** @param isByHand whether what was said last is answered by the test */
  constructor(isByHand: (words: string) => boolean) {
    this.#isByHand = isByHand;
  }

  stream(request: ModelRequest, signal: AbortSignal): AsyncIterable<ModelEvent> {
    const words = wordsOf(request.messages.at(-1)?.input ?? []);
    return this.#isByHand(words) ? this.#hand.stream(request, signal) : this.#echo.stream(request);
  }

  /** The next call that the test answers. */
  call(): Promise<ModelCall> {
    return this.#hand.call();
  }
}
