export { MemoryTaskStore } from '../task/memory-task-store.ts'
export { type MemoryChange, MemoryDatabase } from './memory-database.ts'
