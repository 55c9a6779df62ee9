import type { Scenario } from './scenario.ts';
import { killUnderLoad } from './scenarios/kill-under-load.ts';

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
  { name: 'whoever looks how a thread is run lets what waits go on', scenario: killUnderLoad, seed: 4, runs: 10 },
];
