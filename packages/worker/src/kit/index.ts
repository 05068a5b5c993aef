export { TestFleet, type TestFleetOptions } from './fleet-for-tests.ts'
export { type HandlerInFlight, type HandlerResult, type RunHandlerOptions, runHandler } from './run-handler.ts'
