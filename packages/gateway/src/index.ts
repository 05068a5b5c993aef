export type { Attempts, AttemptWatcher, RunningAttempt } from './attempts.ts'
export { type CreateGatewayOptions, createGateway, type MountedGateway } from './create-gateway.ts'
export { Gateway, type GatewayOptions, type ListenAddress } from './gateway.ts'
export { GatewayHost, type GatewayHostOptions } from './gateway-host.ts'
