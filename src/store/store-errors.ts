import { toSkeinError } from '../domain/errors.ts';

/**
 * A store whose failures are all `SkeinError`s: what the system or a library threw is wrapped, with its errno.
 * Streams are left as they are: they fail while they are read, in the reader's hands.
 */
export function withStoreErrors<S extends object>(store: S): S {
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]): unknown => {
        const result: unknown = Reflect.apply(member, target, args);
        return result instanceof Promise
          ? result.catch((thrown: unknown) => {
              throw toSkeinError(thrown, `${String(name)} failed`);
            })
          : result;
      };
    },
  });
}
