import type { ThreadStore } from '../../src/store/thread-store.ts';

/** Sees every call of a store's method, and may hold it up, or fail it instead of passing it on. */
export type Intercept = (method: string, args: readonly unknown[]) => void | Promise<void>;

/** A store whose calls a test can watch, delay and fail: for rules about what uses it. */
export function interceptedStore(store: ThreadStore, intercept: Intercept): ThreadStore {
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      const pass = (args: readonly unknown[]): unknown => Reflect.apply(member, target, args);
      if (name === 'loadHistory') {
        return async function* loadHistory(...args: readonly unknown[]) {
          await intercept(name, args);
          yield* pass(args) as ReturnType<ThreadStore['loadHistory']>;
        };
      }
      return async (...args: readonly unknown[]): Promise<unknown> => {
        await intercept(String(name), args);
        return pass(args);
      };
    },
  });
}

/** A point in time that a test decides. */
export interface Gate {
  readonly passed: Promise<void>;
  readonly open: () => void;
}

export function gate(): Gate {
  let open: () => void = () => {};
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}
