/** All message schemas in one place to import from. */
export * from "./DeviceId.ts"
export * from "./ErrorReply.ts"
export * from "./InferMessages.ts"
export * from "./LinkMessages.ts"
export * from "./Manifests.ts"
export * from "./PlanMessages.ts"
export * from "./RolloutMessages.ts"
export * from "./SwarmMessages.ts"
