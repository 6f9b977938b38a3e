// What Swift cannot import from <hdf5.h>: macros that expand to more than a literal. Everything
// else is called under its own name. Functions that HDF5 versions by macro (H5Dopen, H5Ewalk, …)
// are called by their numbered names (H5Dopen2, H5Ewalk2), which Swift sees and which stay.
#ifndef SWIFT_PEFT_CHDF5_SHIM_H
#define SWIFT_PEFT_CHDF5_SHIM_H

#include <hdf5.h>
#include <limits.h>
#include <stdlib.h>

// Native types are `(H5OPEN H5T_NATIVE_…_g)`: a comma expression that first opens the library.
static inline hid_t chdf5_native_int8(void) { return H5T_NATIVE_INT8; }
static inline hid_t chdf5_native_uint8(void) { return H5T_NATIVE_UINT8; }
static inline hid_t chdf5_native_int32(void) { return H5T_NATIVE_INT32; }
static inline hid_t chdf5_native_uint32(void) { return H5T_NATIVE_UINT32; }
static inline hid_t chdf5_native_int64(void) { return H5T_NATIVE_INT64; }
static inline hid_t chdf5_native_uint64(void) { return H5T_NATIVE_UINT64; }
static inline hid_t chdf5_native_float(void) { return H5T_NATIVE_FLOAT; }
static inline hid_t chdf5_native_double(void) { return H5T_NATIVE_DOUBLE; }
static inline hid_t chdf5_c_string(void) { return H5T_C_S1; }

// Casts of literals: `((size_t)(-1))`, `(hid_t)0`, `((hsize_t)(-1))`.
static inline size_t chdf5_variable_length(void) { return H5T_VARIABLE; }
static inline hid_t chdf5_default(void) { return H5P_DEFAULT; }
static inline hid_t chdf5_all(void) { return H5S_ALL; }
static inline hsize_t chdf5_unlimited(void) { return H5S_UNLIMITED; }

// Property list classes are comma expressions like the native types.
static inline hid_t chdf5_file_access_class(void) { return H5P_FILE_ACCESS; }
static inline hid_t chdf5_file_create_class(void) { return H5P_FILE_CREATE; }
static inline hid_t chdf5_group_create_class(void) { return H5P_GROUP_CREATE; }
static inline hid_t chdf5_dataset_create_class(void) { return H5P_DATASET_CREATE; }
static inline hid_t chdf5_link_create_class(void) { return H5P_LINK_CREATE; }

// `H5F_ACC_…` are `(H5CHECK H5OPEN 0x…u)`: the check of the library's version comes first.
static inline unsigned chdf5_read_only(void) { return H5F_ACC_RDONLY; }
static inline unsigned chdf5_truncate(void) { return H5F_ACC_TRUNC; }

// H5E_DEFAULT is an untyped 0; a null function in H5Eset_auto2 stops the printing of errors.
static inline herr_t chdf5_stop_printing_errors(void) {
  return H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

// H5Pset_file_locking came with 1.10.7; older libraries obey HDF5_USE_FILE_LOCKING only.
static inline herr_t chdf5_set_no_file_locking(hid_t access) {
#if H5_VERSION_GE(1, 10, 7)
  return H5Pset_file_locking(access, 0, 1);
#else
  (void)access;
  return setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1);
#endif
}

// H5Dget_num_chunks came with 1.10.5; an older library is believed to have all.
static inline long long chdf5_written_chunks(hid_t dataset) {
#if H5_VERSION_GE(1, 10, 5)
  hid_t space = H5Dget_space(dataset);
  if (space < 0) return -1;
  hsize_t count = 0;
  herr_t status = H5Dget_num_chunks(dataset, space, &count);
  return H5Sclose(space) < 0 || status < 0 ? -1 : (long long)count;
#else
  (void)dataset;
  return LLONG_MAX;
#endif
}

// Bytes that a chunk takes in the file, by the place of its first element; 0: not written.
// H5Dget_chunk_info_by_coord would tell the filters that were left out, too, but walks through all chunks in 1.10.
static inline long long chdf5_chunk_bytes(hid_t dataset, const hsize_t *offset) {
  hsize_t size = 0;
  if (H5Dget_chunk_storage_size(dataset, offset, &size) < 0) return -1;
  return size > LLONG_MAX ? LLONG_MAX : (long long)size;
}

// A chunk as it lies in the file, into as many bytes as that takes, and in the bits of `mask` which of its
// filters were left out. H5Dread_chunk is a macro in HDF5 2.
static inline herr_t chdf5_read_chunk(
    hid_t dataset, const hsize_t *offset, unsigned *mask, void *bytes) {
  uint32_t left_out = 0;
#if H5_VERSION_GE(2, 0, 0)
  size_t size = SIZE_MAX;
  herr_t status = H5Dread_chunk2(dataset, H5P_DEFAULT, offset, &left_out, bytes, &size);
#else
  herr_t status = H5Dread_chunk(dataset, H5P_DEFAULT, offset, &left_out, bytes);
#endif
  *mask = left_out;
  return status;
}

// The fields of H5L_info_t moved into a union; its type is all that is asked for: 0 hard, 1 soft,
// 64 external, more for others.
static inline int chdf5_link_type(hid_t group, const char *name) {
  H5L_info_t info;
  return H5Lget_info(group, name, &info, H5P_DEFAULT) < 0 ? -1 : (int)info.type;
}

// Where an object's header lies; H5Oget_info changed its structure twice.
static inline haddr_t chdf5_object_address(hid_t object) {
#if H5_VERSION_GE(1, 12, 0)
  H5O_info2_t info;
  haddr_t address;
  if (H5Oget_info3(object, &info, H5O_INFO_BASIC) < 0) return HADDR_UNDEF;
  return H5VLnative_token_to_addr(object, info.token, &address) < 0 ? HADDR_UNDEF : address;
#else
  H5O_info_t info;
  return H5Oget_info(object, &info) < 0 ? HADDR_UNDEF : info.addr;
#endif
}

// The same of a member of a group that is not opened for it; unknown where the library is older than 1.10.3.
static inline haddr_t chdf5_member_address(hid_t group, const char *name) {
#if H5_VERSION_GE(1, 12, 0)
  H5O_info2_t info;
  haddr_t address;
  if (H5Oget_info_by_name3(group, name, &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0) return HADDR_UNDEF;
  return H5VLnative_token_to_addr(group, info.token, &address) < 0 ? HADDR_UNDEF : address;
#elif H5_VERSION_GE(1, 10, 3)
  H5O_info_t info;
  return H5Oget_info_by_name2(group, name, &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0 ? HADDR_UNDEF : info.addr;
#else
  (void)group;
  (void)name;
  return HADDR_UNDEF;
#endif
}

// The descriptor of a file that the default driver opened; -1 where there is none.
static inline int chdf5_descriptor(hid_t file) {
  void *handle = NULL;
  return H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) < 0 || !handle ? -1 : *(int *)handle;
}

static inline int chdf5_external_link(void) { return H5L_TYPE_EXTERNAL; }
static inline int chdf5_soft_link(void) { return H5L_TYPE_SOFT; }

#endif
