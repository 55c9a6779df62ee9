import { newUuid } from '../domain/ids.ts';
import type { RolloutItem } from '../domain/rollout-line.ts';
import type { ThreadItem } from '../domain/turn.ts';
import { orAborted } from './abortable.ts';
import { compactedRecord } from './compaction.ts';
import type { ModelCalls } from './model-calls.ts';
import { shownItem } from './shown-item.ts';
import type { TurnLog } from './turn-log.ts';
import { compactionItem, compactionShown } from './turn-records.ts';
import type { TurnSetup } from './turn-setup.ts';

/**
 * Compacts what a model reads of a history, if it can, as an item of a turn. Nothing is recorded once the signal is
 * aborted. @throws if the model fails
 */
export async function runCompaction(
  { model, history }: Pick<TurnSetup, 'model' | 'history'>,
  log: TurnLog,
  calls: ModelCalls,
  signal: AbortSignal,
): Promise<void> {
  const { turn, tell, now } = log;
  const { turnId } = turn;
  const itemId = newUuid();
  const startedAtMs = now();
  const shown = (completedAtMs: number | null): ThreadItem =>
    shownItem(compactionItem(itemId), startedAtMs, completedAtMs);
  tell({ type: 'itemStarted', turnId, item: shown(null), startedAtMs });
  const records: RolloutItem[] = [];
  if (model.compact === undefined) {
    tell({
      type: 'warning',
      message: `Nothing was compacted: the model ${model.name} cannot summarise. The history stays as it is.`,
    });
  } else {
    const summary = await orAborted(model.compact(calls.request([]), signal), signal);
    if (summary === undefined) return;
    await calls.countTokens(summary.usage);
    records.push(await compactedRecord(history.records(), summary.text));
  }
  if (signal.aborted) return;
  await log.asOne(async () => {
    const completedAtMs = now();
    await log.record([...records, compactionShown(turn, itemId, startedAtMs, completedAtMs)]);
    tell({ type: 'itemCompleted', turnId, item: shown(completedAtMs), completedAtMs });
  });
}
