import { createConnection, type Socket } from 'node:net';
import { once } from 'node:events';
import type { DebugSnapshot } from '../../../src/protocol/debug.ts';

/** What the debug socket of a daemon says. */
export class DebugView {
  readonly #socket: Socket;
  readonly #waiting: ((line: string) => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    let partial = '';
    socket.setEncoding('utf8');
    socket.on('error', () => {});
    socket.on('data', (text: string) => {
      const lines = `${partial}${text}`.split('\n');
      partial = lines.pop() ?? '';
      for (const line of lines) this.#waiting.shift()?.(line);
    });
  }

  static async connect(path: string): Promise<DebugView> {
    const socket = createConnection(path);
    await once(socket, 'connect');
    return new DebugView(socket);
  }

  async snapshot(): Promise<DebugSnapshot> {
    const answered = new Promise<string>((resolve) => this.#waiting.push(resolve));
    this.#socket.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'snapshot' })}\n`);
    return JSON.parse(await answered).result;
  }

  close(): void {
    this.#socket.destroy();
  }
}
