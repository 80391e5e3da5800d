#include <cuda_fp16.h>
#include <stdint.h>
#pragma nv_diag_suppress 177
typedef unsigned u32; typedef int i32; typedef float f32; typedef __half f16;
template<class T> struct alignas(sizeof(T)*2) v2 { T x,y; __device__ v2(){x=T(0);y=T(0);} __device__ explicit v2(T a){x=y=a;} __device__ v2(T a,T b):x(a),y(b){} __device__ T& operator[](u32 i){return (&x)[i];} __device__ T operator[](u32 i)const{return i==0?x:y;} };
template<class T> struct v3 { T x,y,z; __device__ v3(){x=y=z=T(0);} __device__ explicit v3(T a){x=y=z=a;} __device__ v3(T a,T b,T c):x(a),y(b),z(c){} 
 __device__ v2<T> xy()const{return {x,y};}};
template<class T> struct alignas(sizeof(T)*4) v4 { T x,y,z,w; __device__ v4(){x=y=z=w=T(0);} __device__ explicit v4(T a){x=y=z=w=a;} __device__ v4(T a,T b,T c,T d):x(a),y(b),z(c),w(d){}
 __device__ v4(v2<T> a,v2<T> b):x(a.x),y(a.y),z(b.x),w(b.y){}
 template<class U> __device__ explicit v4(const v4<U>& o):x(T(o.x)),y(T(o.y)),z(T(o.z)),w(T(o.w)){}
 __device__ T& operator[](u32 i){return i==0?x:i==1?y:i==2?z:w;} __device__ T operator[](u32 i)const{return i==0?x:i==1?y:i==2?z:w;}
 __device__ v2<T> xy()const{return {x,y};} __device__ v2<T> zw()const{return {z,w};} __device__ v3<T> yzw()const{return {y,z,w};} };
typedef v2<float> vec2f; typedef v3<float> vec3f; typedef v4<float> vec4f; typedef v2<u32> vec2u; typedef v3<u32> vec3u; typedef v4<u32> vec4u; typedef v4<i32> vec4i; typedef v4<f16> vec4h; typedef v2<bool> vec2b;
#define OP(o) template<class T> __device__ v4<T> operator o(v4<T> a,v4<T> b){return {T(a.x o b.x),T(a.y o b.y),T(a.z o b.z),T(a.w o b.w)};} template<class T> __device__ v2<T> operator o(v2<T> a,v2<T> b){return {T(a.x o b.x),T(a.y o b.y)};} template<class T> __device__ v3<T> operator o(v3<T> a,v3<T> b){return {T(a.x o b.x),T(a.y o b.y),T(a.z o b.z)};}
OP(+) OP(-) OP(*) OP(/) OP(&) OP(|) OP(^) OP(>>) OP(<<)
__device__ vec4f operator*(float a, vec4f b){return vec4f(a)*b;} __device__ vec4f operator*(vec4f b,float a){return vec4f(a)*b;} __device__ vec4f operator-(vec4f b,float a){return b-vec4f(a);} __device__ vec4f operator/(vec4f b,float a){return b/vec4f(a);} __device__ vec2f operator*(vec2f b,float a){return vec2f(b.x*a,b.y*a);} __device__ vec2f operator*(float a,vec2f b){return vec2f(b.x*a,b.y*a);}
template<class T,class U> __device__ v4<T>& operator*=(v4<T>& a,U b){a=a*b;return a;} template<class T> __device__ v4<T>& operator+=(v4<T>& a,v4<T> b){a=a+b;return a;} template<class T> __device__ v3<T>& operator+=(v3<T>& a,v3<T> b){a=a+b;return a;}template<class T> __device__ v2<T>& operator+=(v2<T>& a,v2<T> b){a=a+b;return a;}
template<class T> __device__ v4<T>& operator^=(v4<T>& a,v4<T> b){a=a^b;return a;}
template<class T,u32 N> struct Array { T d[N]; __device__ T& operator[](u32 i){return d[i];} __device__ const T& operator[](u32 i)const{return d[i];} };
template<class T,class... A> __device__ Array<T,1+sizeof...(A)> make_array(T a,A... r){return {{a,r...}};}
__device__ float fma_(float a,float b,float c){return __fmaf_rn(a,b,c);} __device__ vec4f fma_(vec4f a,vec4f b,vec4f c){return {__fmaf_rn(a.x,b.x,c.x),__fmaf_rn(a.y,b.y,c.y),__fmaf_rn(a.z,b.z,c.z),__fmaf_rn(a.w,b.w,c.w)};}
template<class T> __device__ T select(T f,T t,bool c){return c?t:f;}
template<class T> __device__ v4<T> max(v4<T> a,v4<T> b){return {max(a.x,b.x),max(a.y,b.y),max(a.z,b.z),max(a.w,b.w)};}
__device__ vec4f exp(vec4f a){return {__expf(a.x),__expf(a.y),__expf(a.z),__expf(a.w)};}
__device__ float exp_(float a){return __expf(a);} __device__ vec4f exp_(vec4f a){return exp(a);}
__device__ float inverseSqrt(float a){return rsqrtf(a);} __device__ float clamp_(float v,float a,float b){return fminf(fmaxf(v,a),b);}
__device__ u32 countOneBits(u32 a){return __popc(a);}
__device__ vec2f unpack2x16float(u32 a){__half2 h=*(__half2*)&a; float2 f=__half22float2(h); return {f.x,f.y};}
__device__ u32 pack2x16float(vec2f a){__half2 h=__floats2half2_rn(a.x,a.y); return *(u32*)&h;}
template<class T> __device__ T bitcast(u32 a){return *(T*)&a;} template<class T> __device__ T bitcast(i32 a){return *(T*)&a;} template<class T> __device__ T bitcast(float a){return *(T*)&a;} template<class T> __device__ T bitcast(vec4u a){return *(T*)&a;}template<class T> __device__ T bitcast(vec4f a){return *(T*)&a;}
__device__ float subgroupAdd(float v){for(int o=16;o;o>>=1)v+=__shfl_xor_sync(~0u,v,o);return v;} __device__ u32 subgroupAdd(u32 v){return __reduce_add_sync(~0u,v);}
__device__ vec4f subgroupMax(vec4f v){for(int o=16;o;o>>=1)v=max(v,vec4f(__shfl_xor_sync(~0u,v.x,o),__shfl_xor_sync(~0u,v.y,o),__shfl_xor_sync(~0u,v.z,o),__shfl_xor_sync(~0u,v.w,o)));return v;}
__device__ vec4f subgroupShuffleXor(vec4f v,u32 m){return {__shfl_xor_sync(~0u,v.x,m),__shfl_xor_sync(~0u,v.y,m),__shfl_xor_sync(~0u,v.z,m),__shfl_xor_sync(~0u,v.w,m)};}
#define workgroupBarrier __syncthreads
template<class T> __device__ T workgroupUniformLoad(T*p){__syncthreads();T v=*p;__syncthreads();return v;}
__device__ u32 atomicLoad(u32*p){return *(volatile u32*)p;} __device__ void atomicStore(u32*p,u32 v){*(volatile u32*)p=v;}
__device__ float fract(float a){return a-floorf(a);} 
#define storageBarrier __syncthreads
// The kernels in whole numbers use these too.
__device__ __forceinline__ i32 dot4I8Packed(u32 a,u32 b){return __dp4a((i32)a,(i32)b,0);}
__device__ __forceinline__ vec2f subgroupShuffleXor(vec2f v,u32 m){return {__shfl_xor_sync(~0u,v.x,m),__shfl_xor_sync(~0u,v.y,m)};}
__device__ __forceinline__ float subgroupShuffleXor(float v,u32 m){return __shfl_xor_sync(~0u,v,m);}

__device__ __forceinline__ float abs_(float a) { return fabsf(a); }
__device__ __forceinline__ i32 abs_(i32 a) { return a < 0 ? -a : a; }
constexpr u32 larger(u32 a, u32 b) { return a > b ? a : b; }
__device__ __forceinline__ vec4f round_(vec4f a) { return {rintf(a.x), rintf(a.y), rintf(a.z), rintf(a.w)}; }
__device__ __forceinline__ vec4f clamp_(vec4f v, vec4f a, vec4f b) {
  return {clamp_(v.x, a.x, b.x), clamp_(v.y, a.y, b.y), clamp_(v.z, a.z, b.z), clamp_(v.w, a.w, b.w)};
}
__device__ __forceinline__ u32 pack4xI8(vec4i a) {
  return (u32(a.x) & 255u) | (u32(a.y) & 255u) << 8 | (u32(a.z) & 255u) << 16 | u32(a.w) << 24;
}
__device__ __forceinline__ float dot(vec4f a, vec4f b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }
__device__ __forceinline__ vec4i operator>>(vec4i a, vec4u b) { return {a.x >> b.x, a.y >> b.y, a.z >> b.z, a.w >> b.w}; }
__device__ __forceinline__ vec2u operator*(vec2u a, u32 b) { return {a.x * b, a.y * b}; }
__device__ __forceinline__ v2<u32>& operator|=(v2<u32>& a, v2<u32> b) { return a = a | b; }
__device__ __forceinline__ float round_(float a) { return rintf(a); }
