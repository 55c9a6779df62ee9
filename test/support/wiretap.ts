import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer, type RawData } from 'ws';
import { misfit } from './protocol-schemas.ts';
import { noteMisfit } from './misfits.ts';
import type { Json } from './rpc-client.ts';

/** Longer than anything here takes. */
const PATIENCE_MS = 20_000;

/** A call of a client whose words we cannot see, and what it was answered. */
export interface HeardCall {
  readonly method: string;
  readonly params: Json;
  /** Absent until it is answered. */
  answer?: { readonly result?: Json; readonly error?: { readonly code: number; readonly message: string } };
}

/** What stands between a server and clients that are programs of their own, and listens to both. */
export interface Wiretap {
  /** Where clients connect to. */
  readonly url: string;
  /** What was asked, in order, on all connections. */
  readonly calls: readonly HeardCall[];
  /** What the server has told without being asked, in order. */
  readonly told: readonly Json[];
  /** Methods that the server has refused, with its words. */
  refusals(): readonly string[];
  /** The first call of a method that fits, once it is answered. */
  heard(method: string, fits?: (call: HeardCall) => boolean): Promise<HeardCall>;
  /** The first notification of a method that fits. */
  hears(method: string, fits?: (params: Json) => boolean): Promise<Json>;
}

/**
 * Refusals that a terminal program meets now and then, here as at the real app-server: threads of the moment are asked
 * for turns that they do not have, and a thread is marked as read while another turn ends.
 */
export const isByChance = (refusal: string): boolean =>
  /^thread\/turns\/list: (?:thread \S+ is not materialized yet|ephemeral threads)|: read state changed$/.test(refusal);

const textOf = (data: RawData): string =>
  (Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer)).toString('utf8');

/** Passes everything on between clients and a server until the test ends. Whatever Skein says must fit the protocol. */
export async function tapWire(target: string): Promise<Wiretap> {
  const calls: HeardCall[] = [];
  const told: Json[] = [];
  const listeners = new Set<() => void>();
  const http = createServer();
  const clients = new WebSocketServer({ server: http });
  const upstreams = new Set<WebSocket>();

  clients.on('connection', (client, request) => {
    const { authorization } = request.headers;
    const address = target.startsWith('unix://') ? `ws+unix://${target.slice('unix://'.length)}:/` : target;
    const server = new WebSocket(address, authorization === undefined ? {} : { headers: { authorization } });
    upstreams.add(server);
    const asked = new Map<unknown, HeardCall>();
    const opened = once(server, 'open').catch(() => client.terminate());
    client.on('message', (data) => {
      const text = textOf(data);
      const message: Json = JSON.parse(text);
      if (message.method !== undefined && message.id !== undefined) {
        const call = { method: message.method, params: message.params };
        asked.set(message.id, call);
        calls.push(call);
      }
      void opened.then(() => server.send(text));
    });
    server.on('message', (data) => {
      const text = textOf(data);
      const message: Json = JSON.parse(text);
      const call = message.method === undefined ? asked.get(message.id) : undefined;
      const problem = misfit(message, call?.method);
      if (problem !== undefined) noteMisfit(`${call?.method ?? message.method}: ${problem}`);
      if (call === undefined) told.push(message);
      else call.answer = message;
      client.send(text);
      for (const listener of listeners) listener();
    });
    server.on('error', () => client.terminate());
    server.on('close', () => {
      upstreams.delete(server);
      client.close();
    });
    client.on('close', () => server.close());
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  onTestFinished(async () => {
    for (const client of clients.clients) client.terminate();
    for (const server of upstreams) server.terminate();
    clients.close();
    await new Promise((resolve) => http.close(resolve));
  });

  const find = <T>(what: string, look: () => T | undefined): Promise<T> =>
    new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        listeners.delete(tryAgain);
      };
      const tryAgain = (): void => {
        const found = look();
        if (found === undefined) return;
        done();
        resolve(found);
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error(`${what} was not heard; calls: ${calls.map(({ method }) => method).join(', ')}`));
      }, PATIENCE_MS);
      listeners.add(tryAgain);
      tryAgain();
    });
  return {
    url: `ws://127.0.0.1:${(http.address() as AddressInfo).port}`,
    calls,
    told,
    refusals: () =>
      calls.flatMap(({ method, answer }) =>
        answer?.error === undefined ? [] : [`${method}: ${answer.error.message}`],
      ),
    heard: (method, fits = () => true) =>
      find(method, () => calls.find((call) => call.method === method && call.answer !== undefined && fits(call))),
    hears: (method, fits = () => true) =>
      find(method, () => told.find((message) => message.method === method && fits(message.params))?.params),
  };
}
