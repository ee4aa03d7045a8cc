/** One codec per message, compiled once. */
import { codec } from "./Codec.ts"
import * as M from "./Messages.ts"

export const inferRequest = codec(M.InferRequest)
export const inferReply = codec(M.InferReply)
export const errorReply = codec(M.ErrorReply)
export const planRequest = codec(M.PlanRequest)
export const planReply = codec(M.PlanReply)
export const reconfigRequest = codec(M.ReconfigRequest)
export const reconfigAck = codec(M.ReconfigAck)
export const resultMessage = codec(M.ResultMessage)
export const probeRequest = codec(M.ProbeRequest)
export const probeReply = codec(M.ProbeReply)
export const linkReport = codec(M.LinkReport)
export const forecastReport = codec(M.ForecastReport)
export const swarmMessage = codec(M.SwarmMessage)
export const policyManifest = codec(M.PolicyManifest)
export const supernetManifest = codec(M.SupernetManifest)
export const strategyRecord = codec(M.StrategyRecord)
export const deviceRecord = codec(M.DeviceRecord)
