export { FleetProvider, useFleetClient } from './fleet-provider.tsx'
export { type LiveQueryView, useLiveQuery } from './use-live-query.ts'
export { type StatsView, useStats } from './use-stats.ts'
export { type TaskView, useTask } from './use-task.ts'
