import { Session } from 'node:inspector';
import { isMainThread } from 'node:worker_threads';

/**
 * Loaded into a daemon before anything of it (`node --import`). At each SIGUSR2 it throws away what is not needed, and
 * says what buffers outside the heap take; at each SIGURG it says how many listeners there are, of every emitter that lives.
 */

/** Runs in the daemon, over all its emitters. @this {import('node:events').EventEmitter[]} */
const COUNT = `function () {
  const counts = {};
  for (const emitter of this) {
    if (!Object.hasOwn(emitter, '_events')) continue;
    for (const name of emitter.eventNames()) {
      const kind = emitter.constructor.name + ' ' + String(name);
      counts[kind] = (counts[kind] ?? 0) + emitter.listenerCount(name);
    }
  }
  return counts;
}`;

/** By kind of emitter and name of event. Finding all of them throws away first what is not needed. */
function listeners() {
  const session = new Session();
  session.connect();
  const ask = (method, params) => {
    let answer;
    session.post(method, params, (error, result) => {
      if (error !== null) throw error;
      answer = result;
    });
    return answer;
  };
  const expression = 'Object.getPrototypeOf(Object.getPrototypeOf(process))';
  const { result: emitter } = ask('Runtime.evaluate', { expression });
  const { objects } = ask('Runtime.queryObjects', { prototypeObjectId: emitter.objectId });
  const { objectId } = objects;
  const { result } = ask('Runtime.callFunctionOn', { objectId, functionDeclaration: COUNT, returnByValue: true });
  session.disconnect();
  return result.value;
}

if (isMainThread) {
  let [times, counts] = [0, 0];
  process.on('SIGUSR2', () => {
    gc();
    times += 1;
    process.stdout.write(`collected ${times} ${process.memoryUsage().external}\n`);
  });
  process.on('SIGURG', () => {
    counts += 1;
    process.stdout.write(`listeners ${counts} ${JSON.stringify(listeners())}\n`);
  });
}
