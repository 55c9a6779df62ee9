import { isJsonObject, stringMember, type JsonObject } from '../domain/json.ts';

/** A refusal of the daemon. */
export class RpcFailure extends Error {
  readonly body: JsonObject;

  constructor(body: JsonObject) {
    super(stringMember(body, 'message') ?? 'the daemon refused');
    this.name = 'RpcFailure';
    this.body = body;
  }

  /** `notFound`, `conflict` ..., as far as the daemon says so. */
  get kind(): string | undefined {
    const { data } = this.body;
    const kind = isJsonObject(data) ? stringMember(data, 'kind') : undefined;
    // Refusals that the protocol has always had carry no data: they are invalid requests.
    return kind ?? (this.body['code'] === -32_600 || this.body['code'] === -32_602 ? 'invalidRequest' : undefined);
  }
}
