import { METHODS } from '../../src/server/methods.ts';
import { THREAD, TRICK, type TrickRequest } from './path-tricks.ts';
import { fullParams, leastParams, methodsOf } from './protocol-schemas.ts';

/** More than any type of the protocol has shapes. */
const MOST_SHAPES = 12;

/** What runs a program if it is well asked is not asked. */
const LEFT_OUT = new Set(['initialize', 'thread/shellCommand']);

/** Every method that does anything, with a place for a trick in every member that holds a text somewhere. */
export function trickRequests(): readonly TrickRequest[] {
  return methodsOf('ClientRequest')
    .filter((method) => METHODS[method]?.support !== 'unsupported' && !LEFT_OUT.has(method))
    .flatMap((method) => [...placesIn(method)].map((params) => ({ method, params })));
}

function placesIn(method: string): ReadonlySet<string> {
  const least = leastParams(method, THREAD) as object | null;
  const places = new Set<string>();
  for (let variant = 0; variant < MOST_SHAPES; variant += 1) {
    const full = fullParams(method, TRICK, variant) as object | null;
    for (const [name, member] of Object.entries(full ?? {})) {
      const text = JSON.stringify({ ...least, [name]: member as unknown });
      if (text.includes(TRICK)) places.add(text);
    }
  }
  return places;
}
