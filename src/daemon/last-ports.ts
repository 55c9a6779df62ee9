import { readFileSync } from 'node:fs';
import { errnoOf } from '../domain/errors.ts';
import { formatListenAddress, parseListenAddress, type ListenAddress } from '../server/addresses.ts';

type WebSocketAddress = Extract<ListenAddress, { kind: 'ws' }>;

/**
 * The addresses that the last daemon of a home had, for those that may have any port: clients that are still open find
 * the next daemon where they left the last one (LIFE-24).
 */
export class LastPorts {
  readonly #addresses: WebSocketAddress[];

  private constructor(addresses: readonly WebSocketAddress[]) {
    this.#addresses = [...addresses];
  }

  /**
   * A file that is not there, or says nothing of use, is no last daemon.
   * @param wanted all addresses of the next one: a port that it was given is not for another
   */
  static read(path: string, wanted: readonly ListenAddress[]): LastPorts {
    const given = new Set(wanted.map(formatListenAddress));
    try {
      const texts: unknown = JSON.parse(readFileSync(path, 'utf8'));
      const addresses = Array.isArray(texts) ? texts.map((text) => parseListenAddress(String(text))) : [];
      return new LastPorts(
        addresses.filter((address) => address.kind === 'ws').filter((one) => !given.has(formatListenAddress(one))),
      );
    } catch {
      return new LastPorts([]);
    }
  }

  /** What the file is to say for the next daemon. */
  static textOf(listening: readonly ListenAddress[]): string {
    return `${JSON.stringify(listening.map(formatListenAddress))}\n`;
  }

  /**
   * Listens at an address: one that may have any port at the port it had, if nobody else has it by now.
   * @param listen listens, and returns the address with its port
   */
  async listen(
    address: ListenAddress,
    listen: (address: ListenAddress) => Promise<ListenAddress>,
  ): Promise<ListenAddress> {
    const last = address.kind === 'ws' && address.port === 0 ? this.#take(address.host) : undefined;
    if (last === undefined) return listen(address);
    try {
      return await listen(last);
    } catch (error) {
      if (errnoOf(error) !== 'EADDRINUSE') throw error;
      return listen(address);
    }
  }

  /** In the order of the addresses, each once. */
  #take(host: string): WebSocketAddress | undefined {
    const index = this.#addresses.findIndex((address) => address.host === host);
    return index === -1 ? undefined : this.#addresses.splice(index, 1)[0];
  }
}
