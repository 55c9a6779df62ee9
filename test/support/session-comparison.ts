import type { Json } from './rpc-client.ts';
import type { Role, Transcript } from './session-player.ts';

type Told = Transcript['told'][Role];

/** Where two servers differ on purpose. */
export interface Exception {
  /** Why ours is better, or why it cannot be otherwise. */
  readonly reason: string;
  /** The place: session, who asks what or is told, and the members on the way, with what stands there. */
  readonly fits: (at: string, theirs: Json, ours: Json) => boolean;
}

/** A notification that need not be compared. */
export interface ToldMore {
  readonly reason: string;
  /** Who tells it beyond the other: the first server always, or now and then, or either of them now and then. */
  readonly by: 'first' | 'first, at times' | 'either, at times';
  /** @param before what the client was told before it */
  readonly fits: (notification: Told[number], before: Told, session: string) => boolean;
}

/** What is not the same on purpose. */
export interface Exceptions {
  readonly places: readonly Exception[];
  readonly told: readonly ToldMore[];
}

const ROLES: readonly Role[] = ['actor', 'watcher', 'bystander'];

/** Compares what came of sessions at two servers, and knows which exceptions were needed. */
export class SessionComparison {
  /** Differences that no exception allows. */
  readonly found: string[] = [];
  readonly #exceptions: Exceptions;
  readonly #used = new Set<Exception | ToldMore>();

  constructor(exceptions: Exceptions) {
    this.#exceptions = exceptions;
  }

  /** Reasons of exceptions that nothing needs: they say something untrue. */
  get unused(): readonly string[] {
    const { places, told } = this.#exceptions;
    const always = [...places, ...told.filter(({ by }) => by === 'first')];
    return always.filter((one) => !this.#used.has(one)).map(({ reason }) => reason);
  }

  compare(session: string, theirs: Transcript, ours: Transcript): void {
    const asked = (of: Transcript): readonly string[] => of.answers.map(([question]) => question);
    this.#compare(asked(theirs), asked(ours), `${session}: asked`);
    for (const [index, [question, answer]] of theirs.answers.entries()) {
      this.#compare(answer, ours.answers[index]?.[1], `${session}: ${question}`);
    }
    for (const role of ROLES) {
      const { told: more } = this.#exceptions;
      const told = this.#without(more, theirs.told[role], session);
      const tells = this.#without(
        more.filter(({ by }) => by === 'either, at times'),
        ours.told[role],
        session,
      );
      const methods = (of: Told): string => of.map(([method]) => method).join(' ');
      this.#compare(methods(told), methods(tells), `${session}: ${role} is told`);
      if (methods(told) !== methods(tells)) continue;
      for (const [index, [method, params]] of told.entries()) {
        this.#compare(params, tells[index]?.[1], `${session}: ${role} is told ${method}`);
      }
    }
  }

  #without(more: readonly ToldMore[], told: Told, session: string): Told {
    return told.filter((one, index) => {
      const exception = more.find(({ fits }) => fits(one, told.slice(0, index), session));
      if (exception !== undefined) this.#used.add(exception);
      return exception === undefined;
    });
  }

  #compare(theirs: Json, ours: Json, at: string): void {
    if (isHolder(theirs) && isHolder(ours) && Array.isArray(theirs) === Array.isArray(ours)) {
      const keys = new Set([...Object.keys(theirs), ...Object.keys(ours)]);
      for (const key of keys) this.#compare(theirs[key], ours[key], `${at}.${key}`);
      return;
    }
    const [said, says] = [JSON.stringify(theirs), JSON.stringify(ours)];
    if (said === says) return;
    const exception = this.#exceptions.places.find(({ fits }) => fits(at, theirs, ours));
    if (exception === undefined) this.found.push(`${at}\n  codex: ${said}\n  skein: ${says}`);
    else this.#used.add(exception);
  }
}

const isHolder = (value: Json): boolean => typeof value === 'object' && value !== null;
