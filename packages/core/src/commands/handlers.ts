import type { OperationHandlers } from '@taskfleet/protocol'
import type { Principal } from '../auth/key-store.ts'
import type { Fleet } from '../fleet.ts'
import { AttentionCommands } from './attention-commands.ts'
import { AuditCommands } from './audit-commands.ts'
import { BulkCommands } from './bulk-commands.ts'
import { CallbackCommands } from './callback-commands.ts'
import { DocumentCommands } from './document-commands.ts'
import { ErrorCommands } from './error-commands.ts'
import { EventCommands } from './event-commands.ts'
import { HandlerCommands } from './handler-commands.ts'
import { KeyCommands } from './key-commands.ts'
import { QueueCommands } from './queue-commands.ts'
import { RetentionCommands } from './retention-commands.ts'
import { ScheduleCommands } from './schedule-commands.ts'
import { TaskCommands } from './task-commands.ts'
import { WorkerCommands } from './worker-commands.ts'

/** The implementation of each operation: a class for each aggregate, a method for each verb. The compiler checks that none is missing. */
export const handlersFor = (fleet: Fleet, principal: Principal): OperationHandlers => ({
  tasks: new TaskCommands(fleet, principal),
  bulk: new BulkCommands(fleet, principal),
  events: new EventCommands(fleet, principal),
  callbacks: new CallbackCommands(fleet, principal),
  schedules: new ScheduleCommands(fleet, principal),
  queues: new QueueCommands(fleet, principal),
  workers: new WorkerCommands(fleet, principal),
  errors: new ErrorCommands(fleet, principal),
  keys: new KeyCommands(fleet, principal),
  retention: new RetentionCommands(fleet, principal),
  audit: new AuditCommands(fleet, principal),
  handlers: new HandlerCommands(fleet, principal),
  attention: new AttentionCommands(fleet, principal),
  documents: new DocumentCommands(fleet, principal),
})
