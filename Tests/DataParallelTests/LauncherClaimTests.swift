import DataParallel
import Testing

@Suite("LauncherClaim")
struct LauncherClaimTests {
  @Test("A process without a launcher, and one in a batch script's own shell, is alone")
  func alone() {
    #expect(LauncherClaim(environment: ["PATH": "/bin"]) == nil)
    // What sbatch gives its script: there is a job of eight tasks, but this is none of them.
    let batch = [
      "SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_NPROCS": "8", "SLURM_PROCID": "0",
      "SLURM_LOCALID": "0", "SLURM_TASKS_PER_NODE": "8",
    ]
    #expect(LauncherClaim(environment: batch) == nil)
    // srun of one task, without an interface for MPI.
    let single = batch.merging(["SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"]) { $1 }
    #expect(LauncherClaim(environment: single) == nil)
  }

  @Test("A step of srun is as large as SLURM_STEP_NUM_TASKS says")
  func step() throws {
    let step = ["SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "16"]
    let claim = try #require(LauncherClaim(environment: step))
    #expect(claim.launcher == .slurm(hasInterface: false))
    #expect(claim.worldSize == 8)
    #expect(claim.rank == 3)
    let withPMIx = try #require(LauncherClaim(environment: step.merging(["PMIX_RANK": "3"]) { $1 }))
    #expect(withPMIx.launcher == .slurm(hasInterface: true))
  }

  @Test("mpirun inside a Slurm job speaks for its ranks, whose Slurm variables count daemons")
  func mpirunInSlurm() throws {
    let claim = try #require(
      LauncherClaim(environment: [
        "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2", "PMIX_RANK": "2",
        "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2",
      ]))
    #expect(claim.launcher == .openMPI)
    #expect(claim.worldSize == 4)
    #expect(claim.rank == 2)
  }

  @Test("The launcher of another MPI is recognised")
  func otherMPI() throws {
    let claim = try #require(LauncherClaim(environment: ["PMI_SIZE": "5", "PMI_RANK": "1"]))
    #expect(claim.launcher == .pmi)
    #expect(claim.worldSize == 5)
  }
}
