import type { Scenario } from './scenario.ts';
import { killUnderLoad } from './scenarios/kill-under-load.ts';
import { shutdown } from './scenarios/shutdown.ts';

/** A run that once failed. */
export interface NamedSeed {
  /** What it showed. */
  readonly name: string;
  readonly scenario: Scenario;
  readonly seed: number;
  /** As few as show it. */
  readonly runs: number;
}

/** Every seed that has failed, as long as its scenario makes the same choices from it. A new one goes to the end. */
export const NAMED_SEEDS: readonly NamedSeed[] = [
  { name: 'words that waited are said by whoever only looks', scenario: killUnderLoad, seed: 4, runs: 10 },
  { name: 'a daemon that ends pauses what waits', scenario: shutdown, seed: 3, runs: 2 },
];
