import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, SkeinError, toSkeinError } from '../../../domain/errors.ts';
import { HomeLayout } from '../home-layout.ts';
import { IndexService } from './index-service.ts';
import type { IndexWorkerData, WorkerReply, WorkerRequest } from './index-messages.ts';

/**
 * The thread that the index lives in: takes calls of `IndexApi` by message, one reply each. Nothing here reaches
 * the main thread but messages, so no amount of reading or SQL delays it (D7).
 */
const port = parentPort;
if (port === null) throw new Error('index-worker runs as a worker thread only');

const { home, ...options } = workerData as IndexWorkerData;
const service = new IndexService({ home: new HomeLayout(home), ...options });

port.on('message', (request: WorkerRequest) => {
  void answer(request).then((reply) => {
    port.postMessage(reply);
    if (request.method === 'close') port.close();
  });
});

async function answer({ id, method, args }: WorkerRequest): Promise<WorkerReply> {
  try {
    const call = service[method] as (...values: unknown[]) => Promise<unknown>;
    const value = await call.apply(service, [...args]);
    return { id, ok: true, value };
  } catch (thrown) {
    const { code, message, detail } = thrown instanceof SkeinError ? thrown : toSkeinError(thrown, 'index failure');
    return { id, ok: false, error: { code, message, detail, cause: messageOf(thrown) } };
  }
}
