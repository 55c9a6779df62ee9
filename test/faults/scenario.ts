import type { WhenDone } from '../support/process.ts';
import type { Random } from './random.ts';

/** What a scenario has to show: a line of the table. */
export interface Figures {
  /** What was done to the daemon. */
  readonly injected: string;
  readonly times: number;
  /** What clients were told is done: words, ends of turns, names, and so on. */
  readonly acknowledged: number;
  /** How much of that was there afterwards. */
  readonly found: number;
  /** What else is worth knowing, by name. */
  readonly details: Readonly<Record<string, number>>;
  /** Each promise that was broken, in words that lead to the place. Empty: all were kept. */
  readonly defects: readonly string[];
}

/** With what it took. */
export interface Played extends Figures {
  readonly seconds: number;
}

export interface Stage {
  /** How often to inject; undefined: as often as fits into the short run. */
  readonly runs: number | undefined;
  readonly random: Random;
  /** Cleans up when the scenario is over, last one first. */
  readonly whenDone: WhenDone;
  /** Tells whoever waits how far it is. */
  readonly progress: (text: string) => void;
  /** The compiled daemon: `dist/src/main.js`, or one that was broken on purpose. */
  readonly main: string;
}

/** A kind of fault, injected into real daemons. */
export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** It holds times against each other, and is played alone. */
  readonly isMeasured?: true;
  run(stage: Stage): Promise<Figures>;
}
