# Copyright the authors of swift-peft-train.
#
# SPDX-License-Identifier: Apache-2.0

import os

from spack.package import *


class SwiftPeftTrain(MakefilePackage):
    """Parameter-efficient fine-tuning of language models on CPU clusters, over
    MPI: adapters for Hugging Face PEFT with the same bits on any number of ranks."""

    # Put the source tarball (`git archive`, or a release's) into the folder spack is called from.
    manual_download = True
    url = f"file://{os.getcwd()}/swift-peft-train-0.2.0.tar.gz"

    license("Apache-2.0")

    version("0.2.0")

    depends_on("c", type="build")
    depends_on("gmake", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("openmpi@4:5")
    depends_on("hdf5@1.10: ~mpi")

    # Swift 6.3 is not a package of Spack's: it is taken from the PATH, and linked statically.
    def edit(self, spec, prefix):
        if which("swift") is None:
            raise InstallError("Put swift of Swift 6.3 (swift.org/install/linux) on the PATH.")

    def options(self, spec):
        # Swift does not call the compiler wrapper, which would say where libraries are.
        rpaths = [spec[name].libs.directories[0] for name in ("hdf5", "openmpi")]
        return ["SETUP=true", "FLAGS=" + " ".join(f"-Xlinker -rpath -Xlinker {p}" for p in rpaths)]

    def build(self, spec, prefix):
        make("static", *self.options(spec))

    def install(self, spec, prefix):
        make("install", f"PREFIX={prefix}", *self.options(spec))
