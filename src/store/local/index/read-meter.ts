/** What the readers of rollout files tell about their work. */
export interface ReadMeter {
  bytesRead: number;
}
