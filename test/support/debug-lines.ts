import { createConnection, type Socket } from 'node:net';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';
import type { WhenDone } from './process.ts';
import type { Json } from './rpc-client.ts';

/** A raw connection to a debug socket: lines out, lines in. */
export interface DebugLines {
  readonly socket: Socket;
  readonly received: readonly Json[];
  write(text: string): void;
  /** The next line that fits, whether it came already or comes yet. */
  line(fits: (line: Json) => boolean): Promise<Json>;
  call(method: string, params?: unknown): Promise<Json>;
}

export async function connectDebug(path: string, whenDone: WhenDone = onTestFinished): Promise<DebugLines> {
  const socket = createConnection(path);
  const received: Json[] = [];
  const listeners = new Set<() => void>();
  let partial = '';
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const lines = `${partial}${text}`.split('\n');
    partial = lines.pop() ?? '';
    received.push(...lines.map((line) => JSON.parse(line)));
    for (const listener of listeners) listener();
  });
  whenDone(async () => {
    if (socket.closed) return;
    socket.destroy();
    await once(socket, 'close');
  });
  await once(socket, 'connect');
  let lastId = 0;
  const line = (fits: (line: Json) => boolean): Promise<Json> =>
    new Promise((resolve) => {
      const look = (): void => {
        const found = received.find(fits);
        if (found === undefined) return;
        listeners.delete(look);
        resolve(found);
      };
      listeners.add(look);
      look();
    });
  return {
    socket,
    received,
    write: (text) => void socket.write(text),
    line,
    call: async (method, params) => {
      lastId += 1;
      const id = lastId;
      socket.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
      return line((answer) => answer.id === id);
    },
  };
}
