export { type RunningMongo, startMongo } from '../database/resolve/index.ts'
export { checkInvariants, describeTaskStore, type TaskStoreHarness } from './describe-task-store.ts'
export { newTask, taskFactory, testClaimant, testError } from './task-factory.ts'
export { type TestDatabase, useDatabase } from './use-database.ts'
